//! Allow and deny lists.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::IpAddr;

use pgreach_transport_tcp::{AddressPolicy, IpNet};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn check(policy: &AddressPolicy, address: &str) -> Result<(), String> {
    let address: IpAddr = address.parse().unwrap();
    policy
        .check(address)
        .map_err(|refusal| refusal.reason().to_owned())
}

#[track_caller]
fn accepts(policy: &AddressPolicy, addresses: &str) {
    for address in addresses.split_whitespace() {
        assert_eq!(check(policy, address), Ok(()), "{address}");
    }
}

#[track_caller]
fn refuses(policy: &AddressPolicy, addresses: &str, reason: &str) {
    for address in addresses.split_whitespace() {
        let refusal = check(policy, address).unwrap_err();
        assert!(refusal.contains(reason), "{address}: {refusal}");
    }
}

#[test]
fn everything_is_allowed_by_default() {
    let policy = AddressPolicy::default();
    assert_eq!(policy, AddressPolicy::allow_all());
    accepts(
        &policy,
        "127.0.0.1 169.254.169.254 ::1 ff02::1 64:ff9b::7f00:1 ::",
    );
    assert!(policy.allows_unix_sockets());
}

#[test]
fn an_allowed_network_wins_over_what_is_special() {
    let policy = AddressPolicy::public_only().with_allowed(net("10.20.0.0/16"));
    accepts(&policy, "10.20.0.0 10.20.255.255 8.8.8.8");
    // Forms that lead to the same place.
    accepts(&policy, "::ffff:10.20.0.1 64:ff9b::10.20.0.1 2002:a14:1::1");
    refuses(
        &policy,
        "10.19.255.255 10.21.0.0 ::ffff:10.21.0.0",
        "private",
    );
    // Forms that nothing routes.
    refuses(&policy, "::10.20.0.1", "IPv4-compatible");
    refuses(&policy, "2001::f5eb:fffe", "unspecified");
}

#[test]
fn a_denied_network_wins_over_everything_in_every_form() {
    let policy = AddressPolicy::allow_all()
        .with_allowed(net("10.0.0.0/8"))
        .with_denied(net("10.1.0.0/16"))
        .with_denied(net("fd00::/8"));
    accepts(&policy, "10.0.0.1 127.0.0.1 ::ffff:10.2.0.1 fc00::1");
    refuses(
        &policy,
        "10.1.2.3 ::ffff:10.1.2.3 ::10.1.2.3 ::ffff:0:10.1.2.3 64:ff9b::10.1.2.3 \
         64:ff9b:1::10.1.2.3 64:ff9b:1:a01:2:300:: 64:ff9b:1:a:1:203:: 64:ff9b:1:0:a:102:300:0 \
         2002:a01:203::1 2001:0:808:808:0:0:f5fe:fdfc 2001:0:a01:203:: 2a00::5efe:10.1.2.3 \
         2a00::200:5efe:10.1.2.3",
        "on the deny list (10.1.0.0/16)",
    );
    refuses(&policy, "fd00::1", "on the deny list (fd00::/8)");
    assert!(!policy.allows_unix_sockets());

    let policy = AddressPolicy::allow_all().with_denied(net("::/0"));
    accepts(&policy, "10.0.0.1");
    refuses(&policy, "2a00::1 ::ffff:10.0.0.1", "on the deny list");
}

#[test]
fn only_is_only() {
    let policy = AddressPolicy::only([net("192.0.2.0/24"), net("2001:db8::/32")]);
    accepts(
        &policy,
        "192.0.2.7 ::ffff:192.0.2.7 64:ff9b::192.0.2.7 2001:db8::7",
    );
    refuses(
        &policy,
        "8.8.8.8 127.0.0.1 ::1 ::ffff:127.0.0.1 64:ff9b::8.8.8.8 2a00::1 2002:c000:207::1 \
         2001:db8::5efe:10.0.0.1",
        "not on the allow list",
    );
    assert_eq!(
        AddressPolicy::only(Vec::<IpNet>::new())
            .check([8, 8, 8, 8].into())
            .unwrap_err()
            .to_string(),
        "8.8.8.8 is not on the allow list"
    );
}

#[test]
fn a_metadata_service_must_be_named_exactly() {
    let wide = AddressPolicy::public_only()
        .with_allowed(net("100.64.0.0/10"))
        .with_allowed(net("169.254.0.0/16"))
        .with_allowed(net("fd00::/8"))
        .with_allowed(net("0.0.0.0/0"))
        .with_allowed(net("::/0"));
    accepts(&wide, "100.64.0.1 169.254.1.1 fd00::1 127.0.0.1");
    let metadata = "169.254.169.254 100.100.100.200 168.63.129.16 fd00:ec2::254 \
         169.254.42.42 fd00:42::42 fe80::a9fe:a9fe \
         ::ffff:169.254.169.254 64:ff9b::169.254.169.254";
    refuses(&wide, metadata, "cloud metadata service");
    refuses(
        &AddressPolicy::only([net("169.254.0.0/16")]),
        "169.254.169.254",
        "cloud metadata service",
    );
    let exact = wide.with_allowed(net("169.254.169.254/32"));
    accepts(&exact, "169.254.169.254 ::ffff:169.254.169.254");
    refuses(&exact, "100.100.100.200", "cloud metadata service");
}

#[test]
fn an_ipv6_network_allows_no_ipv4_in_disguise() {
    let policy = AddressPolicy::public_only().with_allowed(net("::/0"));
    accepts(&policy, "fd00::1 fe80::1 ::1");
    refuses(
        &policy,
        "::ffff:127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::7f00:1 2002:7f00:1:: ::127.0.0.1",
        "loopback (RFC 1122)",
    );
}

#[test]
fn a_local_nat64_prefix_can_be_allowed() {
    let policy = AddressPolicy::public_only().with_allowed(net("64:ff9b:1::/48"));
    accepts(&policy, "64:ff9b:1::8.8.8.8 64:ff9b:1:808:8:800::");
    refuses(&policy, "64:ff9b:1::10.0.0.1", "private");
}

/// The prefix may be shorter than 96 bits, and the address then stands further to the left.
#[test]
fn an_allowed_local_nat64_prefix_leads_to_no_machines_own_services() {
    let allowed = net("64:ff9b:1::/48");
    let policy = AddressPolicy::public_only().with_allowed(allowed);
    accepts(&policy, "64:ff9b:1:a01:2:300:: 64:ff9b:1:8:8:808::");
    refuses(
        &policy,
        "64:ff9b:1:a9fe:a9:fe00:: 64:ff9b:1:a9:fe:a9fe:: 64:ff9b:1:0:a9:fea9:fe00:0 \
         64:ff9b:1:6464:64:c800:: 64:ff9b:1:a83f:81:1000::",
        "cloud metadata service",
    );
    refuses(
        &policy,
        "64:ff9b:1:7f00:0:100:808:808 64:ff9b:1:7f00:0:100:: 64:ff9b:1:7f:0:1:: 64:ff9b:1:0:7f:0:100:0",
        "loopback",
    );
    refuses(
        &policy,
        "64:ff9b:1:a9fe:1:200:: 64:ff9b:1:a9:fe:102::",
        "link-local",
    );
    let policy = AddressPolicy::only([allowed]);
    refuses(
        &policy,
        "64:ff9b:1:7f00:0:100:: 64:ff9b:1:a9fe:1:200::",
        "not on the allow list",
    );
    refuses(&policy, "64:ff9b:1:a9fe:a9:fe00::", "metadata");
    let meant = policy.with_allowed(net("127.0.0.1/32"));
    accepts(&meant, "64:ff9b:1:7f00:0:100::");
}

#[test]
fn a_mapped_network_is_the_ipv4_network() {
    let policy = AddressPolicy::allow_all().with_denied(net("::ffff:10.0.0.0/104"));
    refuses(&policy, "10.1.2.3 ::ffff:10.1.2.3", "10.0.0.0/8");
    let policy = AddressPolicy::only([net("::ffff:10.0.0.0/104")]);
    accepts(&policy, "10.1.2.3 ::ffff:10.1.2.3");
}

#[test]
fn host_bits_in_a_network_do_not_matter() {
    let policy = AddressPolicy::only([net("10.1.2.3/8")]);
    accepts(&policy, "10.0.0.0 10.255.255.255");
    refuses(&policy, "11.0.0.0", "not on the allow list");
}

#[test]
fn a_refusal_explains_itself() {
    let refusal = AddressPolicy::public_only()
        .check("64:ff9b::a9fe:a9fe".parse().unwrap())
        .unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "64:ff9b::a9fe:a9fe is the NAT64 form of 169.254.169.254, which is a cloud metadata service (link-local)"
    );
    assert_eq!(refusal.embedded(), Some([169, 254, 169, 254].into()));
    assert_eq!(
        refusal.address(),
        "64:ff9b::a9fe:a9fe".parse::<IpAddr>().unwrap()
    );
}
