//! Password hashes of users (argon2), and a memory of the passwords that were right.

use std::sync::{Arc, OnceLock};

use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};
use blake2::Blake2sMac256;
use blake2::digest::{FixedOutput as _, KeyInit as _, Update as _};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::credentials::Credentials;
use crate::model::Invalid;

/// A keyed digest of credentials.
type Digest = [u8; 32];

/// The hashes of all users. Clones share what was remembered.
#[derive(Clone, Default)]
pub(super) struct PasswordHashes {
    hashes: Vec<Arc<UserHash>>,
    /// Key of the digests. None until the first hash is added, or if the system has no randomness;
    /// then nothing is remembered.
    key: Option<Digest>,
}

struct UserHash {
    user: u32,
    hash: PasswordHash,
    /// Digest of the credentials that matched. A hash belongs to one password, so it is one.
    matched: OnceLock<Digest>,
}

impl PasswordHashes {
    /// Parses a hash and checks that argon2 can verify it.
    pub(super) fn check(&self, text: &str) -> Result<PasswordHash, Invalid> {
        let invalid = || Invalid::new("hash", "is not a complete argon2 hash in PHC format");
        let hash = PasswordHash::new(text).map_err(|_| invalid())?;
        let is_argon2 = Algorithm::try_from(hash.algorithm.as_str()).is_ok();
        let version = hash.version.map(Version::try_from).transpose();
        let is_usable = version.is_ok() && Params::try_from(&hash).is_ok();
        let is_complete = hash.salt.is_some() && hash.hash.is_some();
        if is_argon2 && is_usable && is_complete {
            Ok(hash)
        } else {
            Err(invalid())
        }
    }

    pub(super) fn add(&mut self, user: u32, hash: PasswordHash) {
        if self.key.is_none() {
            let mut key = Digest::default();
            self.key = getrandom::fill(&mut key).is_ok().then_some(key);
        }
        self.hashes.push(Arc::new(UserHash {
            user,
            hash,
            matched: OnceLock::new(),
        }));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    fn digest(&self, given: &Credentials) -> Option<Digest> {
        let mut mac = Blake2sMac256::new_from_slice(&self.key?).ok()?;
        mac.update(given.bytes());
        Some(mac.finalize_fixed().into())
    }

    /// Returns the user whose hash has matched these credentials before. Compares with all, so that
    /// the time does not tell which one matched.
    pub(super) fn remembered(&self, given: &Credentials) -> Option<u32> {
        let given = self.digest(given)?;
        let none = (Choice::from(0), 0);
        let (found, user) = self.hashes.iter().fold(none, |(found, user), hash| {
            let equal = hash
                .matched
                .get()
                .map_or(Choice::from(0), |known| known.ct_eq(&given));
            let user = u32::conditional_select(&user, &hash.user, equal);
            (found | equal, user)
        });
        bool::from(found).then_some(user)
    }

    /// Returns true if the password is right. Computes the same number of hashes for every user,
    /// also for one that does not exist: as many as any user has.
    pub(super) fn verify(&self, user: Option<u32>, password: &str, given: &Credentials) -> bool {
        let of = |user: u32| self.hashes.iter().filter(move |hash| hash.user == user);
        let rounds = self.hashes.iter().map(|hash| of(hash.user).count()).max();
        let own: Vec<_> = user.into_iter().flat_map(of).collect();
        let mut right = false;
        for round in 0..rounds.unwrap_or_default() {
            let is_own = own.get(round);
            let Some(hash) = is_own.copied().or_else(|| self.hashes.get(round)) else {
                continue;
            };
            let verified = Argon2::default().verify_password(password.as_bytes(), &hash.hash);
            if is_own.is_some() && verified.is_ok() {
                if let Some(digest) = self.digest(given) {
                    // Another request may have set the same digest.
                    let _ = hash.matched.set(digest);
                }
                right = true;
            }
        }
        right
    }
}
