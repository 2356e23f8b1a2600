use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A range of addresses that no callback may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForbiddenNetwork {
    /// The range.
    pub network: IpNet,
    /// Its use, as a noun with an article: `a private address`.
    pub kind: &'static str,
    /// The document that reserves the range.
    pub source: &'static str,
}

impl fmt::Display for ForbiddenNetwork {
    /// `a private address (RFC 1918)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kind, self.source)
    }
}

const fn v4(octets: [u8; 4], bits: u8, kind: &'static str, source: &'static str) -> ForbiddenNetwork {
    let [a, b, c, d] = octets;
    let network = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits));
    ForbiddenNetwork { network, kind, source }
}

const fn v6(address: u128, bits: u8, kind: &'static str, source: &'static str) -> ForbiddenNetwork {
    let network = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(address), bits));
    ForbiddenNetwork { network, kind, source }
}

const METADATA: &str = "an address of the cloud's metadata service";
const IETF: &str = "an address of an IETF protocol";
const DOCUMENTATION: &str = "an address for documentation";
const AS112: &str = "an address of the AS112 name servers";

/// The forbidden ranges, after the IANA registries of special-purpose addresses. The first match counts, so
/// the narrow ranges come first. IPv4-mapped and IPv4-compatible addresses are not here: they are judged as
/// IPv4.
static FORBIDDEN: [ForbiddenNetwork; 47] = [
    v4([169, 254, 169, 254], 32, METADATA, "EC2 User Guide"),
    v4([169, 254, 170, 2], 32, METADATA, "ECS Developer Guide"),
    // A public address by number, but every machine on Azure reaches its host there.
    v4([168, 63, 129, 16], 32, METADATA, "Azure Virtual Network documentation"),
    v4([0, 0, 0, 0], 32, "the unspecified address", "RFC 1122"),
    v4([0, 0, 0, 0], 8, "an address of this network", "RFC 791"),
    v4([10, 0, 0, 0], 8, "a private address", "RFC 1918"),
    v4([100, 64, 0, 0], 10, "an address of a carrier-grade NAT", "RFC 6598"),
    v4([127, 0, 0, 0], 8, "a loopback address", "RFC 1122"),
    v4([169, 254, 0, 0], 16, "a link-local address", "RFC 3927"),
    v4([172, 16, 0, 0], 12, "a private address", "RFC 1918"),
    v4([192, 0, 0, 0], 24, IETF, "RFC 6890"),
    v4([192, 0, 2, 0], 24, DOCUMENTATION, "RFC 5737"),
    v4([192, 31, 196, 0], 24, AS112, "RFC 7535"),
    v4([192, 52, 193, 0], 24, "an address of a multicast relay", "RFC 7450"),
    v4([192, 88, 99, 0], 24, "an address of a 6to4 relay", "RFC 7526"),
    v4([192, 168, 0, 0], 16, "a private address", "RFC 1918"),
    v4([192, 175, 48, 0], 24, AS112, "RFC 7534"),
    v4([198, 18, 0, 0], 15, "an address for benchmarks", "RFC 2544"),
    v4([198, 51, 100, 0], 24, DOCUMENTATION, "RFC 5737"),
    v4([203, 0, 113, 0], 24, DOCUMENTATION, "RFC 5737"),
    v4([224, 0, 0, 0], 4, "a multicast address", "RFC 5771"),
    v4([255, 255, 255, 255], 32, "the broadcast address", "RFC 919"),
    v4([240, 0, 0, 0], 4, "a reserved address", "RFC 1112"),
    v6(0xfd00_0ec2_0000_0000_0000_0000_0000_0254, 128, METADATA, "EC2 User Guide"),
    v6(0, 128, "the unspecified address", "RFC 4291"),
    v6(1, 128, "a loopback address", "RFC 4291"),
    // A NAT64 gateway would turn these into IPv4 addresses that were not checked.
    v6(0x0064_ff9b << 96, 96, "a NAT64 address", "RFC 6052"),
    v6(0x0064_ff9b_0001 << 80, 48, "a NAT64 address", "RFC 8215"),
    v6(0xffff_0000 << 32, 96, "an IPv4-translated address", "RFC 2765"),
    v6(0x0100 << 112, 64, "a discarded address", "RFC 6666"),
    // Tunnels: these, too, have an IPv4 address inside, that of the relay or of the other end.
    v6(0x2001 << 112, 32, "a Teredo address", "RFC 4380"),
    v6(0x2001_0002 << 96, 48, "an address for benchmarks", "RFC 5180"),
    v6(0x2001_0010 << 96, 28, "a cryptographic identifier", "RFC 4843"),
    v6(0x2001_0020 << 96, 28, "a cryptographic identifier", "RFC 7343"),
    v6(0x2001_0db8 << 96, 32, DOCUMENTATION, "RFC 3849"),
    v6(0x2001 << 112, 23, IETF, "RFC 2928"),
    v6(0x2002 << 112, 16, "a 6to4 address", "RFC 3056"),
    v6(0x2620_004f_8000 << 80, 48, AS112, "RFC 7534"),
    v6(0x3fff << 112, 20, DOCUMENTATION, "RFC 9637"),
    v6(0x5f00 << 112, 16, "a segment-routing address", "RFC 9602"),
    v6(0xfc00 << 112, 7, "a unique local address", "RFC 4193"),
    v6(0xfe80 << 112, 10, "a link-local address", "RFC 4291"),
    v6(0xfec0 << 112, 10, "a site-local address", "RFC 3879"),
    v6(0xff00 << 112, 8, "a multicast address", "RFC 4291"),
    // Only 2000::/3 is assigned to the public Internet. The rest of the space is these three ranges.
    v6(0, 3, "an unassigned address", "RFC 4291"),
    v6(0x4000 << 112, 2, "an unassigned address", "RFC 4291"),
    v6(0x8000 << 112, 1, "an unassigned address", "RFC 4291"),
];

/// The forbidden range that `address` belongs to. `None` means that the address is public.
///
/// An IPv4-mapped (`::ffff:0:0/96`) or IPv4-compatible (`::/96`, RFC 4291) address is judged by the IPv4
/// address inside.
#[must_use]
pub fn forbidden_network(address: IpAddr) -> Option<&'static ForbiddenNetwork> {
    let address = match address {
        // `::` and `::1` have kinds of their own.
        IpAddr::V6(v6) if v6.to_bits() > 1 => v6.to_ipv4().map_or(address, IpAddr::V4),
        _ => address,
    };
    FORBIDDEN.iter().find(|forbidden| forbidden.network.contains(&address))
}

/// Returns true if `address` belongs to a host on the public Internet.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    forbidden_network(address).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> &'static str {
        forbidden_network(text.parse().unwrap()).map_or("public", |network| network.kind)
    }

    #[test]
    fn every_kind_of_forbidden_address_is_recognized() {
        for (text, expected) in [
            ("169.254.169.254", METADATA),
            ("169.254.170.2", METADATA),
            ("168.63.129.16", METADATA),
            ("fd00:ec2::254", METADATA),
            ("0.0.0.0", "the unspecified address"),
            ("::", "the unspecified address"),
            ("0.0.0.1", "an address of this network"),
            ("0.255.255.255", "an address of this network"),
            ("10.0.0.0", "a private address"),
            ("10.255.255.255", "a private address"),
            ("172.16.0.0", "a private address"),
            ("172.31.255.255", "a private address"),
            ("192.168.0.0", "a private address"),
            ("192.168.255.255", "a private address"),
            ("100.64.0.0", "an address of a carrier-grade NAT"),
            ("100.127.255.255", "an address of a carrier-grade NAT"),
            ("127.0.0.1", "a loopback address"),
            ("127.255.255.255", "a loopback address"),
            ("::1", "a loopback address"),
            ("169.254.0.0", "a link-local address"),
            ("169.254.255.255", "a link-local address"),
            ("fe80::1", "a link-local address"),
            ("febf:ffff::1", "a link-local address"),
            ("192.0.0.0", IETF),
            ("192.0.0.192", IETF),
            ("2001:1::1", IETF),
            ("2001:1ff:ffff::1", IETF),
            ("192.0.2.1", DOCUMENTATION),
            ("198.51.100.255", DOCUMENTATION),
            ("203.0.113.9", DOCUMENTATION),
            ("2001:db8::1", DOCUMENTATION),
            ("3fff:fff::1", DOCUMENTATION),
            ("192.31.196.1", AS112),
            ("192.175.48.1", AS112),
            ("2620:4f:8000::1", AS112),
            ("192.52.193.1", "an address of a multicast relay"),
            ("192.88.99.1", "an address of a 6to4 relay"),
            ("198.18.0.0", "an address for benchmarks"),
            ("198.19.255.255", "an address for benchmarks"),
            ("2001:2::1", "an address for benchmarks"),
            ("224.0.0.1", "a multicast address"),
            ("239.255.255.255", "a multicast address"),
            ("ff02::1", "a multicast address"),
            ("255.255.255.255", "the broadcast address"),
            ("240.0.0.0", "a reserved address"),
            ("255.255.255.254", "a reserved address"),
            ("64:ff9b::1.1.1.1", "a NAT64 address"),
            ("64:ff9b:1::1", "a NAT64 address"),
            ("::ffff:0:1.1.1.1", "an IPv4-translated address"),
            ("100::1", "a discarded address"),
            ("2001::1", "a Teredo address"),
            ("2001:0:ffff::1", "a Teredo address"),
            ("2001:10::1", "a cryptographic identifier"),
            ("2001:2f::1", "a cryptographic identifier"),
            ("2002:101:101::1", "a 6to4 address"),
            ("5f00::1", "a segment-routing address"),
            ("fc00::1", "a unique local address"),
            ("fdff::1", "a unique local address"),
            ("fec0::1", "a site-local address"),
            ("200::1", "an unassigned address"),
            ("1fff::1", "an unassigned address"),
            ("4000::1", "an unassigned address"),
            ("7fff::1", "an unassigned address"),
            ("8000::1", "an unassigned address"),
            ("fbff::1", "an unassigned address"),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn an_embedded_ipv4_address_is_judged() {
        for (text, expected) in [
            ("::ffff:127.0.0.1", "a loopback address"),
            ("::ffff:10.0.0.1", "a private address"),
            ("::ffff:169.254.169.254", METADATA),
            ("::127.0.0.1", "a loopback address"),
            ("::192.168.1.1", "a private address"),
            ("::2", "an address of this network"),
            ("::ffff:1.1.1.1", "public"),
            ("::1.1.1.1", "public"),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn the_neighbors_of_the_ranges_are_public() {
        for text in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.101.0",
            "203.0.114.0",
            "223.255.255.255",
            "2000::1",
            "2001:200::1",
            "2001:db7:ffff::1",
            "2001:db9::1",
            "2003::1",
            "2606:4700:4700::1111",
            "3fff:1000::1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text} is {}", kind(text));
        }
    }

    #[test]
    fn every_row_is_a_network_that_is_reached() {
        for (index, row) in FORBIDDEN.iter().enumerate() {
            assert_eq!(row.network, row.network.trunc(), "{row} has host bits");
            let earlier = FORBIDDEN[..index].iter().any(|other| other.network.contains(&row.network));
            assert!(!earlier, "{row} is never reached");
        }
    }
}
