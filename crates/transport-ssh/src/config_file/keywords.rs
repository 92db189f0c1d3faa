//! What becomes of the keywords that are not resolved.

/// What a keyword must say to be ignored.
pub(super) enum Rule {
    /// It changes nothing here.
    Ignored,
    /// It changes which server is reached or trusted unless it says one of these.
    Unless(&'static [&'static str]),
    /// `ssh` does not know it.
    Unknown,
}

const NO: &[&str] = &["no", "false"];
const NONE: &[&str] = &["none"];

/// The rule for a keyword in lower case.
pub(super) fn rule(keyword: &str) -> Rule {
    let unless = match keyword {
        "addressfamily" => &["any"],
        "canonicalizehostname"
        | "checkhostip"
        | "nohostauthenticationforlocalhost"
        | "verifyhostkeydns" => NO,
        "certificatefile" | "knownhostscommand" | "proxycommand" | "revokedhostkeys" => NONE,
        "stricthostkeychecking" => &["yes", "true", "ask"][..],
        "bindaddress"
        | "bindinterface"
        | "casignaturealgorithms"
        | "ciphers"
        | "globalknownhostsfile"
        | "hostkeyalgorithms"
        | "hostkeyalias"
        | "kexalgorithms"
        | "macs"
        | "pubkeyacceptedalgorithms"
        | "pubkeyacceptedkeytypes"
        | "refuseconnection"
        | "requiredrsasize" => &[],
        _ if IGNORED.contains(&keyword) => return Rule::Ignored,
        _ => return Rule::Unknown,
    };
    Rule::Unless(unless)
}

/// They concern terminals, other forwardings, other ways to authenticate, patience and output.
const IGNORED: &[&str] = &[
    "addkeystoagent",
    "batchmode",
    "canonicaldomains",
    "canonicalizefallbacklocal",
    "canonicalizemaxdots",
    "canonicalizepermittedcnames",
    "challengeresponseauthentication",
    "channeltimeout",
    "clearallforwardings",
    "compression",
    "connectionattempts",
    "connecttimeout",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "dynamicforward",
    "enableescapecommandline",
    "enablesshkeysign",
    "escapechar",
    "exitonforwardfailure",
    "fingerprinthash",
    "forkafterauthentication",
    "forwardagent",
    "forwardx11",
    "forwardx11timeout",
    "forwardx11trusted",
    "gatewayports",
    "gssapiauthentication",
    "gssapidelegatecredentials",
    "hashknownhosts",
    "hostbasedacceptedalgorithms",
    "hostbasedauthentication",
    "hostbasedkeytypes",
    "ipqos",
    "kbdinteractiveauthentication",
    "kbdinteractivedevices",
    "localcommand",
    "localforward",
    "loglevel",
    "logverbose",
    "numberofpasswordprompts",
    "obscurekeystroketiming",
    "passwordauthentication",
    "permitlocalcommand",
    "permitremoteopen",
    "pkcs11provider",
    "preferredauthentications",
    "protocol",
    "proxyusefdpass",
    "pubkeyauthentication",
    "rekeylimit",
    "remotecommand",
    "remoteforward",
    "requesttty",
    "securitykeyprovider",
    "sendenv",
    "serveralivecountmax",
    "serveraliveinterval",
    "sessiontype",
    "setenv",
    "stdinnull",
    "streamlocalbindmask",
    "streamlocalbindunlink",
    "syslogfacility",
    "tag",
    "tcpkeepalive",
    "tunnel",
    "tunneldevice",
    "updatehostkeys",
    "usekeychain",
    "visualhostkey",
    "xauthlocation",
];
