//! Who a request comes from: the peer of its connection, or the client that a trusted proxy names.
//!
//! Addresses are used for limits only. They are never stored or logged; see [`crate::limits`].

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::http::HeaderMap;
use serde::{Deserialize, Deserializer, de::Error as _};

/// A network in CIDR notation, such as `10.0.0.0/8` or `fd00::/8`. An address alone is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether an address is in it. An IPv4 address is also known in its IPv6 form (`::ffff:10.0.0.1`).
    ///
    /// ```
    /// let network: consent_server::client::Network = "10.0.0.0/8".parse()?;
    /// assert!(network.contains("10.1.2.3".parse()?) && network.contains("::ffff:10.1.2.3".parse()?));
    /// assert!(!network.contains("11.0.0.1".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let wrong = || format!("\"{text}\" is not a network such as 10.0.0.0/8 or fd00::/8");
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?,
        };
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// The header in which trusted proxies say whom they speak for. Only one is believed: a proxy that writes one of them passes the
/// other on as the client sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For: client, proxy`.
    XForwardedFor,
    /// `Forwarded: for=client, for=proxy` (RFC 7239).
    Forwarded,
}

impl ForwardedHeader {
    /// Its name in the configuration, and in HTTP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }
}

/// The client of a request: the peer, or, where the peer is a trusted proxy, the right-most address in its header that is not
/// trusted itself. What stands left of that could be anything that the client made up.
///
/// None for a trusted proxy that names nobody: it would be limited for everyone behind it. A header that cannot be read means the
/// peer.
pub fn of(peer: SocketAddr, headers: &HeaderMap, trusted: &[Network], header: ForwardedHeader) -> Option<IpAddr> {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let peer = peer.ip().to_canonical();
    if !is_trusted(peer) {
        return Some(peer);
    }
    let mut lines = headers.get_all(header.as_str()).iter().rev().peekable();
    lines.peek()?;
    for line in lines {
        let Ok(line) = line.to_str() else { return Some(peer) };
        for entry in line.rsplit(',') {
            let address = match header {
                ForwardedHeader::XForwardedFor => node(entry.trim()),
                ForwardedHeader::Forwarded => forwarded_for(entry),
            };
            match address {
                Some(address) if is_trusted(address) => {}
                Some(address) => return Some(address),
                None => return Some(peer),
            }
        }
    }
    // Everyone on the way is trusted: the request began at one of them.
    None
}

/// The `for` of one element of `Forwarded` (RFC 7239 section 4).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    node(value.trim().trim_matches('"'))
}

/// An address, perhaps with a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn node(text: &str) -> Option<IpAddr> {
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6))?;
    Some(address.to_canonical())
}

/// What of an address tells clients apart: all of IPv4, the first 64 bits of IPv6, which is what one household has.
pub(crate) fn prefix(address: IpAddr) -> [u8; 16] {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => (address.to_bits() & !u128::from(u64::MAX)).to_be_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, header: ForwardedHeader, lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header.as_str(), line.parse().unwrap());
        }
        let trusted = ["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        of(peer.parse().unwrap(), &headers, &trusted, header).map(|address| address.to_string())
    }

    #[test]
    fn only_a_trusted_proxy_names_the_client() {
        use ForwardedHeader::{Forwarded, XForwardedFor};
        for (peer, header, lines, want) in [
            ("203.0.113.9:1", XForwardedFor, &["198.51.100.1"][..], Some("203.0.113.9")),
            ("127.0.0.1:1", XForwardedFor, &["198.51.100.1"], Some("198.51.100.1")),
            ("127.0.0.1:1", XForwardedFor, &["198.51.100.1, 203.0.113.5, 10.0.0.7"], Some("203.0.113.5")),
            ("127.0.0.1:1", XForwardedFor, &["made up, 203.0.113.5"], Some("203.0.113.5")),
            ("127.0.0.1:1", XForwardedFor, &["198.51.100.1", "203.0.113.5"], Some("203.0.113.5")),
            ("127.0.0.1:1", XForwardedFor, &["203.0.113.5:8080"], Some("203.0.113.5")),
            ("127.0.0.1:1", XForwardedFor, &["2001:db8::1"], Some("2001:db8::1")),
            ("[::ffff:127.0.0.1]:1", XForwardedFor, &["203.0.113.5"], Some("203.0.113.5")),
            ("127.0.0.1:1", XForwardedFor, &["203.0.113.5, nonsense"], Some("127.0.0.1")),
            ("127.0.0.1:1", XForwardedFor, &[""], Some("127.0.0.1")),
            ("127.0.0.1:1", XForwardedFor, &["10.0.0.1, 10.0.0.2"], None),
            ("127.0.0.1:1", XForwardedFor, &[], None),
            (
                "127.0.0.1:1",
                Forwarded,
                &["for=198.51.100.1;proto=https, For=\"[2001:db8::9]:4711\""],
                Some("2001:db8::9"),
            ),
            ("127.0.0.1:1", Forwarded, &["for=_hidden"], Some("127.0.0.1")),
            ("127.0.0.1:1", Forwarded, &["proto=https"], Some("127.0.0.1")),
        ] {
            assert_eq!(client(peer, header, lines).as_deref(), want, "{peer} {lines:?}");
        }
    }

    #[test]
    fn networks_are_read_strictly() {
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/-1", "10.0.0.0/8/8", "host"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("203.0.113.1".parse().unwrap()) && !all.contains("::1".parse().unwrap()));
        assert_eq!("::1".parse::<Network>().unwrap().to_string(), "::1/128");
    }

    #[test]
    fn clients_of_one_household_are_one() {
        let of = |text: &str| prefix(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::2"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("203.0.113.1"), of("203.0.113.2"));
    }
}
