//! Running a program to its end, with its output in the error when it fails.

use std::process::{Command, Stdio};

use crate::Error;

/// Runs `command` without input and returns what it wrote to its standard output.
pub(crate) fn run(command: &mut Command) -> Result<String, Error> {
    let line = line(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::Command {
            command: line.clone(),
            status: "not started".to_owned(),
            output: error.to_string(),
        })?;
    if !output.status.success() {
        let said = if output.stderr.is_empty() {
            &output.stdout
        } else {
            &output.stderr
        };
        return Err(Error::command(line, output.status, said));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}
