use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use sha2::{Digest, Sha256};

use crate::{
    Activity, Endpoint, KeysPerHour, LicenseKeyRecord, Name, ProductId, Quantity, Randomness, Timestamp,
    WebhookHosts,
};

/// The secret that opens the API. Only its hash is stored; `Debug` prints nothing of it.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// A fresh key: a version 4 UUID, 122 random bits.
    pub fn random(randomness: &(impl Randomness + ?Sized)) -> Self {
        let mut bytes = [0; 16];
        randomness.fill(&mut bytes);
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
    }

    /// The hash that the table stores.
    #[must_use]
    pub fn hash(&self) -> ApiKeyHash {
        ApiKeyHash(Sha256::digest(&self.0).into())
    }

    /// The secret itself, shown once, to the operator who made it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// A text that cannot be an API key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must not be empty")]
pub struct InvalidApiKey;

impl FromStr for ApiKey {
    type Err = InvalidApiKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() { Err(InvalidApiKey) } else { Ok(Self(text.to_owned())) }
    }
}

/// The SHA-256 of an API key. Keys are compared by hash, so that neither the time of a comparison nor a copy
/// of the table reveals a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApiKeyHash([u8; 32]);

impl fmt::Display for ApiKeyHash {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ApiKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeyHash(…)")
    }
}

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 64 hexadecimal digits")]
pub struct InvalidApiKeyHash;

impl FromStr for ApiKeyHash {
    type Err = InvalidApiKeyHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut hash = [0; 32];
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(InvalidApiKeyHash) };
        if pairs.len() != hash.len() {
            return Err(InvalidApiKeyHash);
        }
        for (byte, pair) in hash.iter_mut().zip(pairs) {
            let digits = std::str::from_utf8(pair).map_err(|_| InvalidApiKeyHash)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| InvalidApiKeyHash)?;
        }
        Ok(Self(hash))
    }
}

/// The reason why an API key does not open an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiKeyRefusal {
    /// 100: none given, unknown, or two that differ.
    Invalid,
    /// 101: switched off or expired.
    Inactive,
    /// 102: the capability for this endpoint is missing.
    Capability,
    /// 103: the client's address is in none of the key's networks.
    Network,
}

impl ApiKeyRefusal {
    /// The contract's code.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Invalid => 100,
            Self::Inactive => 101,
            Self::Capability => 102,
            Self::Network => 103,
        }
    }

    /// The contract's message, word for word.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid API Key",
            Self::Inactive => "Inactive API Key",
            Self::Capability => {
                "The used API key doesn't have the required capability to access this endpoint"
            }
            Self::Network => "API key can't be used from this IP address",
        }
    }
}

/// The permissions and settings of an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// The hash of the key.
    pub hash: ApiKeyHash,
    /// The name that people use for it.
    pub name: Name,
    /// The activity. An inactive key opens nothing.
    pub activity: Activity,
    /// The endpoints it opens.
    pub capabilities: BTreeSet<Endpoint>,
    /// The networks it may be used from; none listed means all.
    pub networks: Vec<IpNet>,
    /// The time at which it expires; `None` if it never does.
    pub valid_until: Option<Timestamp>,
    /// The settings of its requests.
    pub settings: ApiKeySettings,
}

/// The settings of an API key's requests. The default is a key without settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiKeySettings {
    /// The time that a queued order waits for stock; zero does not wait. By default
    /// [`QueuedOrder::WAITS_FOR`](crate::QueuedOrder::WAITS_FOR).
    pub wait_for_stock: Option<Duration>,
    /// The hosts that callbacks may go to; none listed means any public one.
    pub webhook_hosts: WebhookHosts,
    /// The time that the response to a request with an `Idempotency-Key` is kept; by default
    /// [`ApiKeySettings::REMEMBERED_FOR`].
    pub remember: Option<Duration>,
    /// Set if requests with the same product, quantity and `identifier` count as one request, as if they had
    /// the same `Idempotency-Key`.
    pub once_per_identifier: bool,
    /// Set if it sees the orders of all API keys.
    pub sees_all_orders: bool,
    /// The API keys whose orders it sees beside its own: those that it replaced.
    pub sees_orders_of: BTreeSet<ApiKeyHash>,
    /// The products that it opens. Others do not exist for it; none listed means all.
    pub products: BTreeSet<ProductId>,
    /// The most keys that one request may ask for; by default as many as any request may.
    pub keys_per_order: Option<Quantity>,
    /// The most keys that its requests may ask for in any 60 minutes; by default there is no limit.
    pub keys_per_hour: Option<KeysPerHour>,
}

impl ApiKeySettings {
    /// The time for which a response is remembered by default: 24 hours.
    pub const REMEMBERED_FOR: Duration = Duration::from_hours(24);

    /// Returns true if a product exists for the key.
    #[must_use]
    pub fn opens(&self, product: ProductId) -> bool {
        self.products.is_empty() || self.products.contains(&product)
    }

    /// Returns true if one request may ask for so many keys.
    #[must_use]
    pub fn allows_in_one_order(&self, keys: u64) -> bool {
        self.keys_per_order.is_none_or(|most| keys <= u64::from(most.get()))
    }
}

/// The one capability that is not the name of an endpoint. It shows an API key the orders of all others.
pub const GET_ALL_LICENSE_KEYS: &str = "get-all-license-keys";

impl ApiKeyRecord {
    /// The names of its capabilities.
    pub fn capability_names(&self) -> impl Iterator<Item = &'static str> {
        let all_orders = self.settings.sees_all_orders.then_some(GET_ALL_LICENSE_KEYS);
        self.capabilities.iter().map(|endpoint| endpoint.name()).chain(all_orders)
    }

    /// Returns true if the key may look up a sold license key: the product exists for it, and it sees the
    /// orders of the API key that sold it.
    #[must_use]
    pub fn may_see(&self, key: &LicenseKeyRecord) -> bool {
        let sold_by = key.order.as_ref().and_then(|order| order.sold_by);
        let is_its_own = |sold_by| sold_by == self.hash || self.settings.sees_orders_of.contains(&sold_by);
        self.settings.opens(key.product_id)
            && (self.settings.sees_all_orders || sold_by.is_some_and(is_its_own))
    }

    /// Checks that the key opens `endpoint` to `client` at `now`, in the contract's order: 101, 103, 102.
    pub fn check(
        &self,
        endpoint: Endpoint,
        client: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<(), ApiKeyRefusal> {
        let expired = self.valid_until.is_some_and(|end| end <= now);
        if self.activity == Activity::Inactive || expired {
            return Err(ApiKeyRefusal::Inactive);
        }
        // A client on IPv4 may arrive as an IPv4-mapped IPv6 address.
        let client = client.map(|address| address.to_canonical());
        let from_a_listed_network =
            || client.is_some_and(|address| self.networks.iter().any(|network| network.contains(&address)));
        if !self.networks.is_empty() && !from_a_listed_network() {
            return Err(ApiKeyRefusal::Network);
        }
        if !self.capabilities.contains(&endpoint) {
            return Err(ApiKeyRefusal::Capability);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> ApiKeyRecord {
        ApiKeyRecord {
            hash: "2964c3c9".parse::<ApiKey>().unwrap().hash(),
            name: "shop".parse().unwrap(),
            activity: Activity::Active,
            capabilities: BTreeSet::from([Endpoint::Generate]),
            networks: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            valid_until: Timestamp::from_unix_microseconds(2_000_000),
            settings: ApiKeySettings::default(),
        }
    }

    fn at(microseconds: i64) -> Timestamp {
        Timestamp::from_unix_microseconds(microseconds).unwrap()
    }

    #[test]
    fn a_key_is_checked_in_the_contracts_order() {
        let client = |text: &str| text.parse::<IpAddr>().ok();
        let (inside, outside) = (client("192.0.2.7"), client("198.51.100.1"));
        for (activity, endpoint, address, now, expected) in [
            (Activity::Active, Endpoint::Generate, inside, 1, Ok(())),
            (Activity::Active, Endpoint::Generate, client("::ffff:192.0.2.7"), 1, Ok(())),
            (Activity::Active, Endpoint::Generate, client("2001:db8::1"), 1_999_999, Ok(())),
            (Activity::Active, Endpoint::Generate, inside, 2_000_000, Err(ApiKeyRefusal::Inactive)),
            (Activity::Inactive, Endpoint::AssignLicenseKey, outside, 1, Err(ApiKeyRefusal::Inactive)),
            (Activity::Active, Endpoint::AssignLicenseKey, outside, 1, Err(ApiKeyRefusal::Network)),
            (Activity::Active, Endpoint::Generate, None, 1, Err(ApiKeyRefusal::Network)),
            (Activity::Active, Endpoint::AssignLicenseKey, inside, 1, Err(ApiKeyRefusal::Capability)),
        ] {
            let record = ApiKeyRecord { activity, ..record() };
            assert_eq!(record.check(endpoint, address, at(now)), expected);
        }
    }

    #[test]
    fn a_key_without_networks_is_open_to_any_address() {
        let record = ApiKeyRecord { networks: vec![], ..record() };
        assert_eq!(record.check(Endpoint::Generate, None, at(1)), Ok(()));
    }

    #[test]
    fn listed_products_exclude_all_others() {
        let product = |id: &str| id.parse::<ProductId>().unwrap();
        let mut settings = ApiKeySettings::default();
        assert!(settings.opens(product("1")) && settings.opens(ProductId::MAX));
        settings.products = BTreeSet::from([product("2"), product("3")]);
        assert_eq!(["1", "2", "3", "4"].map(|id| settings.opens(product(id))), [false, true, true, false]);
    }

    #[test]
    fn an_order_has_as_many_keys_as_the_key_allows() {
        let settings = ApiKeySettings::default();
        assert!(settings.allows_in_one_order(1_000));
        let settings = ApiKeySettings { keys_per_order: "5".parse().ok(), ..settings };
        assert_eq!([0, 5, 6].map(|keys| settings.allows_in_one_order(keys)), [true, true, false]);
    }

    #[test]
    fn the_hash_is_sha_256_and_reads_back() {
        let hash = "abc".parse::<ApiKey>().unwrap().hash();
        // FIPS 180-2, appendix B.1.
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.parse(), Ok(hash));
        for text in ["", "ba78", &"x".repeat(64), &"é".repeat(32)] {
            assert_eq!(text.parse::<ApiKeyHash>(), Err(InvalidApiKeyHash));
        }
    }

    #[test]
    fn debug_output_hides_the_key() {
        let key: ApiKey = "2964c3c9".parse().unwrap();
        assert_eq!(format!("{key:?} {:?}", key.hash()), "ApiKey(…) ApiKeyHash(…)");
    }
}
