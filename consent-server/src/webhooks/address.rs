//! Where a webhook may lead: by its form when it is made, and by the addresses of its name whenever something is sent.
//!
//! A webhook's address is the operator's choice, but who may make one need not be trusted with what only this machine can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ureq::http::Uri;

/// The longest address, in bytes.
const LONGEST: usize = 2048;

/// Parses the address of a webhook: https at port 443, or with `private` also http and other ports.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(text: &str, private: bool) -> Result<Uri, String> {
    if text.len() > LONGEST {
        return Err(format!("an address has at most {LONGEST} bytes"));
    }
    if text.contains('#') {
        return Err("an address ends before its fragment (#)".to_owned());
    }
    let uri: Uri = text.parse().map_err(|error| format!("not an address: {error}"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("a whole address is needed, such as https://receiver.example/consent".to_owned());
    };
    if authority.as_str().contains('@') {
        return Err("an address holds no user and password: what is sent is signed instead".to_owned());
    }
    if scheme != "https" && !(private && scheme == "http") {
        return Err(format!("it must begin with https://, not {scheme}://"));
    }
    if !private && authority.port_u16().is_some_and(|port| port != 443) {
        return Err("only port 443 is allowed".to_owned());
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err("it names no host".to_owned());
    }
    if let Ok(ip) = host.parse()
        && !private
        && !is_public(ip)
    {
        return Err(format!("{ip} is not an address of the public internet"));
    }
    Ok(uri)
}

/// Whether an address is one of the public internet, by the registries of special-purpose addresses: not of this machine or network,
/// not of one that several share, not multicast, and not one that stands for another (mapped, 6to4, Teredo), which could hide it.
///
/// # Standards
/// RFC 6890 and the IANA registries that it began.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    // "This network", private, loopback, link-local, multicast, reserved and broadcast.
    let ours = matches!((a, b), (0 | 10 | 127 | 224..=255, _) | (169, 254) | (192, 168) | (172, 16..=31));
    // Shared by the customers of one carrier (RFC 6598).
    let shared = matches!((a, b), (100, 64..=127));
    // Protocol assignments, documentation, the former 6to4 relays, benchmarks.
    let assigned =
        matches!((a, b, c), (192, 0, 0 | 2) | (192, 88, 99) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113));
    !(ours || shared || assigned)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    if let [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, inner @ ..] = ip.octets() {
        // What a translator reaches for a host that has only IPv6 (RFC 6052): as public as what is in it.
        return is_public_v4(Ipv4Addr::from(inner));
    }
    // Only 2000::/3 is given out; of that, protocol assignments (with Teredo), documentation and 6to4 are not.
    let special = (a == 0x2001 && b < 0x200) || (a, b) == (0x2001, 0xdb8) || a == 0x2002 || (a == 0x3fff && b < 0x1000);
    a & 0xe000 == 0x2000 && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        for public in [
            "1.1.1.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00::1",
            "2001:200::1",
            "64:ff9b::1.1.1.1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for special in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.1.2.3",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:1.1.1.1",
            "::127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
        ] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
    }

    #[test]
    fn an_address_is_https_at_its_port_unless_the_operator_allows_more() {
        for (text, public, private) in [
            ("https://receiver.example/consent?a=b", true, true),
            ("https://receiver.example:443/", true, true),
            ("https://1.1.1.1/", true, true),
            ("https://receiver.example:8443/", false, true),
            ("http://receiver.example/", false, true),
            ("https://127.0.0.1/", false, true),
            ("https://[::1]/", false, true),
            ("https://[::ffff:10.0.0.1]/", false, true),
            ("https://10.0.0.1:9000/", false, true),
            ("ftp://receiver.example/", false, false),
            ("https://user:word@receiver.example/", false, false),
            ("https://receiver.example/#a", false, false),
            ("/consent", false, false),
            ("receiver.example", false, false),
            ("https://", false, false),
            ("", false, false),
        ] {
            assert_eq!((parse(text, false).is_ok(), parse(text, true).is_ok()), (public, private), "{text}");
        }
        assert!(parse(&format!("https://receiver.example/{}", "a".repeat(2048)), true).is_err());
    }
}
