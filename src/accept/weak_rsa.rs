//! RSA keys made by the library of CVE-2017-15361 ("ROCA"), whose private half can be computed.
//!
//! Their modulus is, modulo every small prime, a power of 65537. A sound key passes for one with
//! a probability of about 2^-27. Paper: Nemec et al., "The Return of Coppersmith's Attack", 2017.

/// Whether the modulus, big-endian, has the fingerprint.
pub(super) fn is_roca(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|prime| {
        let residue = modulus.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        is_power_of_generator(residue, *prime)
    })
}

fn is_power_of_generator(residue: u32, prime: u32) -> bool {
    let generator = 65_537 % prime;
    let mut power = 1;
    loop {
        if power == residue {
            return true;
        }
        power = power * generator % prime;
        if power == 1 {
            return false;
        }
    }
}

/// The primes below 168 of which 65537 generates a proper subgroup.
const PRIMES: [u32; 17] =
    [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
