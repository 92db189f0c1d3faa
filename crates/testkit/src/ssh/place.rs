//! Where a server's files and processes are, for as long as it is there.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use super::processes::{Process, family_of, in_namespace_of};
use super::programs;
use super::users::Settled;
use crate::Error;
use crate::account::{Account, is_root, set_mode};
use crate::command::run;
use crate::files::read_lossy;

/// The guard where the server has a mount namespace: it holds the namespace, and once the test
/// process is gone, whichever way it went, it ends all that is in it.
///
/// `/etc` is the folder's own; nothing is written to the machine's records of logins, which are in
/// `/run` and `/var/log`.
const GUARD: &str = r#"
trap '' INT TERM HUP
umask 022
mount --bind "$1/etc" /etc || exit 1
mount -t tmpfs -o mode=755 tmpfs /run || exit 1
mkdir /run/sshd || exit 1
[ ! -d /var/log ] || mount -t tmpfs -o mode=755 tmpfs /var/log || exit 1
echo ready
read -r _
tries=0
while [ "$tries" -lt 100 ]; do
    found=
    for process in /proc/[0-9]*; do
        if [ "$process/ns/mnt" -ef "/proc/$$/ns/mnt" ] && [ "$process" != "/proc/$$" ]; then
            kill -KILL "${process#/proc/}"
            found=yes
        fi
    done
    [ -n "$found" ] || break
    tries=$((tries + 1))
    [ "$tries" -lt 2 ] || sleep 0.1
done
rm -rf "$1"
"#;

/// The guard where it has none: the listener is told by its command line, its sessions by whose
/// children they are.
const PLAIN_GUARD: &str = r#"
trap '' INT TERM HUP
folder=$1
echo ready
read -r _
if read -r pid < "$folder/pid"; then
    if [ ! -e /proc/self ] || grep -qaF "$folder/" "/proc/$pid/cmdline"; then
        kill -STOP "$pid"
        found=$pid
        generation=$pid
        while [ -n "$generation" ]; do
            next=
            for stat in /proc/[0-9]*/stat; do
                read -r line < "$stat" || continue
                rest=${line##*) }
                rest=${rest#* }
                case " $generation " in
                    *" ${rest%% *} "*) next="$next ${line%% *}" ;;
                esac
            done
            found="$found $next"
            generation=$next
        done
        kill -KILL $found
    fi
fi
rm -rf "$folder"
"#;

/// Who may log in, and whether they fail or pass, is for `pam_unix` and the generated files alone.
/// `nodelay`: a wrong password costs two seconds otherwise.
const PAM: &str = "\
auth required pam_unix.so nodelay
account required pam_unix.so
session required pam_permit.so
password required pam_deny.so
";

/// Files that are taken over from the machine, so that names are resolved as everywhere else. Not
/// `alternatives`: its hundreds of links would take longer than all the rest.
const FILES: &[&str] = &[
    "hosts",
    "resolv.conf",
    "host.conf",
    "gai.conf",
    "ld.so.cache",
    "localtime",
    "services",
    "protocols",
    "login.defs",
];

/// The user that sshd gives up its rights to. The id is below those of the test users.
const PRIVSEP: u32 = 2999;

/// A server's folder, with the guard that removes it, also when this process is killed.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// Whether the server is in a mount namespace of its own.
    pub(super) namespace: bool,
    account: Account,
    guard: Child,
}

impl Place {
    pub(super) fn make(namespace: bool) -> Result<Self, Error> {
        let account = Account::current()?;
        let base = match Path::new("/tmp") {
            tmp if tmp.is_dir() => tmp.to_owned(),
            _ => std::env::temp_dir(),
        };
        let folder = tempfile::Builder::new()
            .prefix("pgs-")
            .tempdir_in(&base)
            .map_err(Error::file("create a folder in", &base))?;
        set_mode(folder.path(), 0o755)?;
        for name in ["etc", "home", "keys"] {
            let inner = folder.path().join(name);
            fs::create_dir(&inner).map_err(Error::file("create", &inner))?;
        }
        set_mode(&folder.path().join("keys"), 0o700)?;
        if !namespace {
            account.own(folder.path())?;
            account.own(&folder.path().join("keys"))?;
        }
        // The guard is there before the server is: a kill in between leaves nothing behind.
        let guard = spawn_guard(folder.path(), namespace)?;
        Ok(Self {
            path: folder.keep(),
            namespace,
            account,
            guard,
        })
    }

    /// Fills `/etc` and the home folders.
    pub(super) fn write_users(&self, users: &[Settled]) -> Result<(), Error> {
        if self.namespace {
            self.write_etc(users)?;
        }
        for user in users {
            let ssh = self.home(&user.name).join(".ssh");
            fs::create_dir_all(&ssh).map_err(Error::file("create", &ssh))?;
            set_mode(&ssh, 0o700)?;
            set_mode(&self.home(&user.name), user.home_mode)?;
            for path in [&ssh, &self.home(&user.name)] {
                own(path, user.ids)?;
            }
            self.write_keys(user, &user.authorized_keys)?;
        }
        Ok(())
    }

    /// The home folder of a user.
    pub(super) fn home(&self, user: &str) -> PathBuf {
        self.path.join("home").join(user)
    }

    /// Replaces the keys of a user; a login in this moment sees the old ones or the new ones.
    pub(super) fn write_keys(&self, user: &Settled, lines: &[String]) -> Result<(), Error> {
        let file = self.home(&user.name).join(".ssh/authorized_keys");
        let new = file.with_extension("new");
        let mut text = lines.join("\n");
        text.push('\n');
        fs::write(&new, text).map_err(Error::file("write", &new))?;
        set_mode(&new, 0o600)?;
        own(&new, user.ids)?;
        fs::rename(&new, &file).map_err(Error::file("rename", &new))
    }

    /// Gives a file to the user that the server itself runs under.
    pub(super) fn own(&self, path: &Path) -> Result<(), Error> {
        match self.namespace {
            true => Ok(()),
            false => self.account.own(path),
        }
    }

    /// A command that runs a server's program where its files and users are, with an environment
    /// that is the same for everybody.
    pub(super) fn command(&self, program: &Path) -> Command {
        let inner = programs::command(program);
        let mut command = if self.namespace {
            let mut command = Command::new("nsenter");
            command.arg(format!("--mount=/proc/{}/ns/mnt", self.guard.id()));
            command.arg("--").arg(program);
            command
        } else {
            let mut command = Command::new(program);
            self.account.apply(&mut command);
            command
        };
        command.current_dir("/").env_clear();
        command.env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command.env("LC_ALL", "C").env("TZ", "UTC");
        for (name, value) in inner.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command
    }

    /// Lets the guard know of the listener.
    pub(super) fn note(&self, listener: u32) -> Result<(), Error> {
        let file = self.path.join("pid");
        fs::write(&file, format!("{listener}\n")).map_err(Error::file("write", &file))
    }

    /// The processes of the server: the listener, which has not been waited for, and its sessions.
    pub(super) fn processes(&self, listener: u32) -> BTreeSet<Process> {
        match self.namespace {
            true => in_namespace_of(self.guard.id()),
            false => family_of(listener),
        }
    }

    fn write_etc(&self, users: &[Settled]) -> Result<(), Error> {
        let etc = self.path.join("etc");
        let write = |name: &str, text: String, mode: u32| {
            let file = etc.join(name);
            fs::write(&file, text).map_err(Error::file("write", &file))?;
            set_mode(&file, mode)
        };
        let mut passwd = format!(
            "root:x:0:0::/root:/bin/sh\nsshd:x:{PRIVSEP}:{PRIVSEP}::/run/sshd:/usr/sbin/nologin\n"
        );
        let mut group = format!("root:x:0:\ntty:x:5:\nsshd:x:{PRIVSEP}:\n");
        let mut shadow = "root:*:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\n".to_owned();
        let mut shells = "/bin/sh\n/bin/bash\n/usr/sbin/nologin\n".to_owned();
        let mut add = |name: &str, ids: (u32, u32), home: &Path, shell: &str, secret: &str| {
            let (uid, gid) = ids;
            passwd += &format!("{name}:x:{uid}:{gid}::{}:{shell}\n", home.display());
            group += &format!("{name}:x:{gid}:\n");
            shadow += &format!("{name}:{secret}:19000:0:99999:7:::\n");
            shells += &format!("{shell}\n");
        };
        // First: of two names with one id, `id` and PostgreSQL's `peer` see the first.
        for user in users {
            let home = self.home(&user.name);
            add(&user.name, user.ids, &home, &user.shell, &user.shadow);
        }
        let nologin = "/usr/sbin/nologin";
        if !users.iter().any(|user| user.name == self.account.name()) {
            let (name, ids) = (self.account.name(), self.account.ids());
            add(name, ids, Path::new("/"), nologin, "*");
        }
        if self.account.name() != "nobody" {
            add("nobody", (65_534, 65_534), Path::new("/"), nologin, "*");
        }
        write("passwd", passwd, 0o644)?;
        write("group", group, 0o644)?;
        write("shadow", shadow, 0o600)?;
        write("shells", shells, 0o644)?;
        let sources = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n";
        write("nsswitch.conf", sources.to_owned(), 0o644)?;
        for folder in ["pam.d", "ssh"] {
            let folder = etc.join(folder);
            fs::create_dir(&folder).map_err(Error::file("create", &folder))?;
            set_mode(&folder, 0o755)?;
        }
        write("pam.d/sshd", PAM.to_owned(), 0o644)?;
        write("pam.d/other", PAM.to_owned(), 0o644)?;
        for name in FILES {
            let source = Path::new("/etc").join(name);
            if source.is_file() {
                fs::copy(&source, etc.join(name)).map_err(Error::file("copy", &source))?;
            }
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Its end of the pipe closes with this: it ends what could not be ended from here, and
        // removes the folder.
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

fn own(path: &Path, ids: (u32, u32)) -> Result<(), Error> {
    if !is_root() {
        return Ok(());
    }
    chown(path, Some(ids.0), Some(ids.1)).map_err(Error::file("give away", path))
}

fn spawn_guard(folder: &Path, namespace: bool) -> Result<Child, Error> {
    let log = folder.join("guard.log");
    let errors = fs::File::create(&log).map_err(Error::file("create", &log))?;
    let mut command = match namespace {
        true => unshare(),
        false => Command::new("/bin/sh"),
    };
    let script = if namespace { GUARD } else { PLAIN_GUARD };
    let mut guard = command
        .args(["-c", script, "pgreach-testkit-guard"])
        .arg(folder)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(errors)
        // A group of its own: runners end a test that takes too long together with its group.
        .process_group(0)
        .spawn()
        .map_err(Error::file("start the guard of", folder))?;
    let mut word = String::new();
    if let Some(output) = guard.stdout.take() {
        let _ = BufReader::new(output).read_line(&mut word);
    }
    if word.trim() == "ready" {
        return Ok(guard);
    }
    drop(guard.stdin.take());
    let _ = guard.wait();
    Err(Error::State(format!(
        "a namespace for sshd could not be set up: {}",
        read_lossy(&log).trim()
    )))
}

/// A shell in a mount namespace of its own.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "/bin/sh"]);
    command
}

/// Whether servers have a namespace here, and so users of their own: that needs root on Linux, and
/// in a container the right to mount (`CAP_SYS_ADMIN`), which Docker does not give by default.
pub fn has_namespaces() -> bool {
    static WORK: OnceLock<bool> = OnceLock::new();
    *WORK.get_or_init(|| {
        is_root()
            && run(unshare().args(["-c", "mount -t tmpfs tmpfs /run"])).is_ok()
            && run(Command::new("nsenter").arg("--version")).is_ok()
    })
}
