//! Secrets are not shown, and no input makes the parsers panic.
#![allow(clippy::unwrap_used)]

use std::error::Error as _;

use pgreach_core::Error;
use pgreach_core::conninfo::{Conninfo, Environment, Keyword, Passfile};

const MARKER: &str = "hunter2";

fn assert_hidden(what: &str, input: &str, shown: &str) {
    assert!(!shown.contains(MARKER), "{what} of {input:?} shows {shown}");
}

fn assert_error_hides(input: &str, error: &Error) {
    assert_hidden("Display", input, &error.to_string());
    assert_hidden("Debug", input, &format!("{error:?}"));
    assert_hidden("hint", input, error.hint());
    assert_hidden("JSON", input, &serde_json::to_string(error).unwrap());
    let mut source = error.source();
    while let Some(cause) = source {
        assert_hidden("source", input, &format!("{cause} {cause:?}"));
        source = cause.source();
    }
}

fn assert_conninfo_hides(input: &str) {
    match Conninfo::parse(input) {
        Err(error) => assert_error_hides(input, &error),
        Ok(conninfo) => {
            assert_hidden("Debug", input, &format!("{conninfo:?}"));
            assert_hidden("JSON", input, &serde_json::to_string(&conninfo).unwrap());
            match conninfo.settings_in(&Environment::empty().with_user("me")) {
                Err(error) => assert_error_hides(input, &error),
                Ok(settings) => assert_hidden("Settings", input, &format!("{settings:?}")),
            }
            if let Err(error) = conninfo.allow_only(&[]) {
                assert_error_hides(input, &error);
            }
        }
    }
}

#[test]
fn no_form_of_a_password_is_shown() {
    for template in [
        "password=@",
        "password = '@'",
        "password='@",
        "password='@\\",
        "password @",
        "password:@",
        "password:@ host=h",
        "password=my @",
        "password=my @ host=h",
        "password=my @=x",
        "password=my @ = x",
        "password='it's @=x'",
        "password=my host=h @=x",
        "password=a sslpassword=b @",
        "sslpassword=@",
        "sslpassword=my @=1",
        "sslpassword=@ sslkey=engine:x",
        "oauth_client_secret=@",
        "scram_client_key=@",
        "scram_server_key=a @=b",
        "pass=@",
        "pass @=1",
        "Password=@",
        "PGPASSWORD=@",
        "pass word=@",
        "host=h user=u pwd='@",
        "host=h @",
        "@",
        "@ host=h",
        "u:@",
        "u:@#h",
        "u:@\\@h/db?sslmode=require",
        "postgre://u:@#h/d",
        "postgre://u:@#h/d?x=y",
        "Postgresql://u:@#h/d?sslmode=require",
        "jdbc:postgresql://h/d?user=u&password=@",
        "mysql://u:@#h",
        "host=h postgresql://u:@#h/d",
        "postgresql://u:@#h/d",
        "postgresql://u:@#h:x/d",
        "postgresql://u:@#h:99999/d",
        "postgresql://u:@#[h/d",
        "postgresql://u:@#[]/d",
        "postgresql://u:@#[::1]x/d",
        "postgresql://u:@#%zz/d",
        "postgresql://u:@#h/%00",
        "postgresql://u:@#h/d?x",
        "postgresql://u:@#h/d?x=y",
        "postgresql://u:@#h/d?sslmode=%",
        "postgresql://u:@#h/d?sslmode=a=b",
        "postgresql://u:@#h/d?sslmode=bad",
        "postgresql://u:@%zz#h/d",
        "postgresql://u:%zz@#h/d",
        "postgresql://u:%00@#h/d",
        "postgresql://u:%ff@#h/d",
        "postgresql://u%zz:@#h/d",
        "postgresql://u:a b@#h/d",
        "postgresql://u:@",
        "postgresql://u:@/d",
        "postgresql://u:@?sslmode=require",
        "postgresql://u:p#@#h/d",
        "postgresql://u:p#@#h:1/d",
        "postgresql://u:p/@#h/d",
        "postgresql://u:1/@#h/d",
        "postgresql://u:/@#h:5/d",
        "postgresql://u:@/p#h/d",
        "postgresql://u:@/#h/d",
        "postgresql://u/v:@#h/d",
        "postgresql://u:1/p?@=1#h/d",
        "postgresql://u:p?@#h/d",
        "postgresql://u:1/p?a=@#h&b",
        "postgresql://u:p,@#h/d",
        "postgresql://u,v:@#h/d",
        "postgresql://u:[@#h/d",
        "postgresql://h/d?password=@",
        "postgresql://h/d?password=@=x",
        "postgresql://h/d?password=a=@",
        "postgresql://h/d?password=a&@",
        "postgresql://h/d?password=a&@=x",
        "postgresql://h/d?password=@%zz",
        "postgresql://h/d?password=a @",
        "postgresql://h/d?pass%77ord=@%00",
        "postgresql://h/d?pass%zzword=@",
        "postgresql://h/d?passwrd=@",
        "postgresql://h/d?password@",
        "postgresql://h/d?sslpassword=@&x=y",
        "postgresql://h/d?sslpassword=@",
    ] {
        // "#" stands for an "@" in a URI, "@" for the secret.
        let input = template.replace('@', MARKER).replace('#', "@");
        assert_conninfo_hides(&input);
    }
}

#[test]
fn files_and_variables_do_not_show_their_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("service.conf");
    for text in [
        "[s]\npassword=@\nport=x",
        "[s]\npassword=@\nkrbsrvname=x",
        "[s]\nsslpassword=@\nsslkey=engine:x",
        "[s]\npassword=@\nnonsense",
        "[s]\npassword @",
        "[s]\npassword @ = x",
        "[s]\npassword = @",
        "[s]\n@",
        "[s]\nsslpassword=@\nport=x",
    ] {
        let input = text.replace('@', MARKER);
        std::fs::write(&path, &input).unwrap();
        let environment = Environment::empty()
            .with_var("PGSERVICEFILE", path.display().to_string())
            .with_var("PGSERVICE", "s");
        let error = Conninfo::new().resolve(&environment).unwrap_err();
        assert_error_hides(&input, &error);
    }
    let environment = Environment::empty().with_var("PGPASSWORD", MARKER);
    assert_hidden("Environment", "PGPASSWORD", &format!("{environment:?}"));
    let settings = Conninfo::new().resolve(&environment).unwrap();
    assert_eq!(settings.password.as_ref().unwrap().expose(), MARKER);
    assert_hidden("Settings", "PGPASSWORD", &format!("{settings:?}"));
    let environment = Environment::empty().with_var("PGPASSWORD", format!("{MARKER}\0"));
    let error = Conninfo::new().resolve(&environment).unwrap_err();
    assert_error_hides("PGPASSWORD", &error);
}

/// A key that was pasted where its file should be named is not repeated.
#[test]
fn the_text_of_a_key_is_not_shown() {
    let mut conninfo = Conninfo::new();
    let pasted = format!("-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: {MARKER}");
    conninfo.set(Keyword::SslKey, pasted.as_str());
    let error = conninfo.settings_in(&Environment::empty()).unwrap_err();
    assert_error_hides(&pasted, &error);
    assert!(error.hint().contains("sslkey"), "{}", error.hint());
}

/// SplitMix64: the same inputs in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}

const SEEDS: [&str; 6] = [
    "postgresql://us%20er:pa%2Fss@h1:5432,[::1]:5433/db?sslmode=require&application_name=a%C3%A9",
    "postgres://%2Frun%2Fpg/db?ssl=true&host=a,b&port=1,2&hostaddr=10.0.0.1,::1",
    "host=a,b port = 1,2 user='it\\'s' password=a\\ b dbname=\u{1f418} options='-c x=y'",
    "require_auth=!md5,!password connect_timeout=5 ssl_min_protocol_version=TLSv1.2 requiressl=1",
    "# c\nh:1:d:u:p\\:w\\\\\n*:*:*:*:x\n",
    "a\\:b:*:d:u:p:rest\r\n\r\n/tmp:5432:d\u{e9}:u:p",
];

const PIECES: [&str; 24] = [
    "%",
    "%0",
    "%zz",
    "%00",
    "%ff",
    "'",
    "\\",
    "=",
    "&",
    "?",
    "/",
    ":",
    "@",
    ",",
    "[",
    "]",
    " ",
    "\n",
    "\0",
    "\u{e9}",
    "\u{202e}",
    "postgresql://",
    "password=",
    "99999999999999999999",
];

fn mutate(random: &mut Random) -> String {
    let mut text: Vec<char> = SEEDS[random.below(SEEDS.len())].chars().collect();
    for _ in 0..=random.below(6) {
        let at = random.below(text.len() + 1);
        match random.below(4) {
            0 => {
                let end = (at + random.below(8)).min(text.len());
                text.drain(at..end);
            }
            1 => {
                let piece = PIECES[random.below(PIECES.len())];
                text.splice(at..at, piece.chars());
            }
            2 => text.truncate(at),
            _ => {
                let c = u32::try_from(random.below(0x300)).unwrap();
                text.splice(at..at, char::from_u32(c));
            }
        }
    }
    text.into_iter().collect()
}

#[test]
fn no_input_makes_a_parser_panic() {
    let mut random = Random(18);
    let environment = Environment::empty().with_user("me");
    for _ in 0..60_000 {
        let input = mutate(&mut random);
        if let Ok(conninfo) = Conninfo::parse(&input) {
            let _ = conninfo.settings_in(&environment);
            let _ = serde_json::to_string(&conninfo).unwrap();
        }
        if let Ok(passfile) = Passfile::parse(&input) {
            let _ = passfile.lookup("h", 1, "d", "u");
        }
    }
}

/// What the grammar of keywords and values can express, it gives back.
#[test]
fn quoted_values_come_back() {
    let mut random = Random(3);
    for _ in 0..5_000 {
        let value: String = mutate(&mut random).replace('\0', "");
        let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
        let conninfo = Conninfo::parse(&format!("user = '{quoted}' password='{quoted}'")).unwrap();
        let values: Vec<_> = conninfo.iter().map(|(_, value)| value.to_owned()).collect();
        assert_eq!(values, [value.as_str(), value.as_str()]);

        let encoded: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let conninfo = Conninfo::parse(&format!("postgresql://?user={encoded}")).unwrap();
        let values: Vec<_> = conninfo.iter().map(|(_, value)| value.to_owned()).collect();
        assert_eq!(values, [value]);
    }
}
