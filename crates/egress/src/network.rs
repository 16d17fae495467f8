//! Which addresses are public.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A range of addresses, such as `10.0.0.0/8` or `fd00::/8`. IPv4 is kept as its mapped IPv6 (`::ffff:0:0/96`), so an
/// address is in a range however it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: u128,
    /// Bits of `base` that count, of 128.
    prefix: u8,
}

/// Where [`Ipv4Addr`] lies in IPv6.
const MAPPED: u8 = 96;

impl Network {
    const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Self {
        Self::new(Ipv4Addr::new(a, b, c, d).to_ipv6_mapped(), MAPPED + prefix)
    }

    const fn v6(head: [u16; 4], prefix: u8) -> Self {
        Self::new(Ipv6Addr::new(head[0], head[1], head[2], head[3], 0, 0, 0, 0), prefix)
    }

    const fn new(base: Ipv6Addr, prefix: u8) -> Self {
        Self { base: base.to_bits() & mask(prefix), prefix }
    }

    /// One address.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self::new(as_v6(address), 128)
    }

    /// Whether the address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        as_v6(address).to_bits() & mask(self.prefix) == self.base
    }
}

const fn mask(prefix: u8) -> u128 {
    if prefix == 0 { 0 } else { u128::MAX << (128 - prefix) }
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = text.split_once('/').ok_or(())?;
        let address: IpAddr = address.parse().map_err(drop)?;
        let prefix: u8 = prefix.parse().map_err(drop)?;
        match address {
            IpAddr::V4(v4) if prefix <= 32 => Ok(Self::new(v4.to_ipv6_mapped(), MAPPED + prefix)),
            IpAddr::V6(v6) if prefix <= 128 => Ok(Self::new(v6, prefix)),
            _ => Err(()),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = Ipv6Addr::from_bits(self.base);
        match base.to_ipv4_mapped() {
            Some(v4) if self.prefix >= MAPPED => write!(f, "{v4}/{}", self.prefix - MAPPED),
            _ => write!(f, "{base}/{}", self.prefix),
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What of IPv4 is not the internet: <https://www.iana.org/assignments/iana-ipv4-special-registry>, and one address that is
/// public by its number alone.
const SPECIAL_V4: &[Network] = &[
    Network::v4(0, 0, 0, 0, 8),        // this host
    Network::v4(10, 0, 0, 0, 8),       // private
    Network::v4(100, 64, 0, 0, 10),    // behind a carrier's NAT; metadata of one cloud
    Network::v4(127, 0, 0, 0, 8),      // loopback
    Network::v4(168, 63, 129, 16, 32), // what every Azure machine has its host's services at
    Network::v4(169, 254, 0, 0, 16),   // link-local; metadata of most clouds
    Network::v4(172, 16, 0, 0, 12),    // private
    Network::v4(192, 0, 0, 0, 24),     // protocol assignments; metadata of one cloud
    Network::v4(192, 0, 2, 0, 24),     // documentation
    Network::v4(192, 88, 99, 0, 24),   // relays of 6to4
    Network::v4(192, 168, 0, 0, 16),   // private
    Network::v4(198, 18, 0, 0, 15),    // benchmarks
    Network::v4(198, 51, 100, 0, 24),  // documentation
    Network::v4(203, 0, 113, 0, 24),   // documentation
    Network::v4(224, 0, 0, 0, 4),      // multicast
    Network::v4(240, 0, 0, 0, 4),      // reserved, and broadcast
];

/// All that IPv6 has of the internet …
const GLOBAL_V6: Network = Network::v6([0x2000, 0, 0, 0], 3);
/// … but for these: <https://www.iana.org/assignments/iana-ipv6-special-registry>.
const SPECIAL_V6: &[Network] = &[
    Network::v6([0x2001, 0, 0, 0], 23), // protocol assignments, Teredo among them: an IPv4 address within
    Network::v6([0x2001, 0xdb8, 0, 0], 32), // documentation
    Network::v6([0x2002, 0, 0, 0], 16), // 6to4: an IPv4 address within
    Network::v6([0x3fff, 0, 0, 0], 20), // documentation
];
/// An IPv4 address in its last 32 bits, for networks without IPv4 (RFC 6052).
const NAT64: Network = Network::v6([0x64, 0xff9b, 0, 0], 96);

/// Whether the address is one of the internet's, which anybody could reach. What is not known to be is not.
pub fn is_public(address: IpAddr) -> bool {
    let v6 = as_v6(address);
    if let Some(v4) = v6.to_ipv4_mapped() {
        return !SPECIAL_V4.iter().any(|network| network.contains(v4.into()));
    }
    if NAT64.contains(address) {
        let [.., a, b, c, d] = v6.octets();
        return is_public(Ipv4Addr::new(a, b, c, d).into());
    }
    GLOBAL_V6.contains(address) && !SPECIAL_V6.iter().any(|network| network.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_internet_is_public() {
        let check = |text: &str, expected: bool| assert_eq!(is_public(text.parse().unwrap()), expected, "{text}");
        for public in ["1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255"] {
            check(public, true);
        }
        for public in ["172.32.0.0", "192.167.1.1", "223.255.255.255", "2606:4700::1111", "::ffff:8.8.8.8"] {
            check(public, true);
        }
        check("64:ff9b::808:808", true);
        for inward in ["0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254"] {
            check(inward, false);
        }
        for inward in ["168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192"] {
            check(inward, false);
        }
        for inward in ["192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.7"] {
            check(inward, false);
        }
        for inward in ["203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"] {
            check(inward, false);
        }
        for inward in ["::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1"] {
            check(inward, false);
        }
        for inward in ["64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "5f00::1"] {
            check(inward, false);
        }
        for inward in ["fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "4000::1"] {
            check(inward, false);
        }
    }

    #[test]
    fn a_range_is_read_and_written_as_usual() {
        for text in ["10.0.0.0/8", "127.0.0.1/32", "0.0.0.0/0", "fd00::/8", "::/0", "::1/128"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        assert_eq!(
            "10.1.2.3/8".parse::<Network>().unwrap().to_string(),
            "10.0.0.0/8",
            "what does not count is dropped"
        );
        for wrong in ["", "10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "host/8", "10.0.0.0/8/8"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    proptest! {
        /// Against the predicates of the standard library, which know fewer ranges.
        #[test]
        fn what_the_standard_library_calls_inward_is_never_public(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            if v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_unspecified()
                || v4.is_broadcast() || v4.is_documentation()
            {
                prop_assert!(!is_public(v4.into()));
            }
            prop_assert_eq!(is_public(v4.into()), is_public(v4.to_ipv6_mapped().into()));
        }
    }
}
