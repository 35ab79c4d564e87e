"""Makes the tokens that Cloud Tasks sends to HTTP targets. The lab signs them with its own key instead of Google's.

The key is computed from a constant seed. So every run of a notebook gives the same tokens, and no file contains a
private key. Anybody can compute the key, so a token of a lab proves nothing outside of labs.
"""

from datetime import datetime
from functools import cache
from hashlib import sha256
from random import Random
from typing import Any

import google.auth.crypt
import google.auth.jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER = "https://accounts.google.com"
LIFETIME = 3600  # seconds
_SEED = "Cloud Tasks 6"  # the first seed of this form with which the primes are found quickly
_PRIME_BITS, _EXPONENT = 1024, 65537
_SMALL_PRIMES = [each for each in range(3, 2000) if all(each % other for other in range(2, int(each**0.5) + 1))]


def id_token(email: str, audience: str, now: float, **other: Any) -> str:
    """Return the ID token of a service account, with the claims of Google's tokens.

    Args:
        email: the service account.
        audience: the server for which the token is meant.
        now: virtual seconds since 1970. The token is valid for an hour from then on.
        **other: claims with other values, such as `email_verified=False`.
    """
    number = _account_number(email)
    claims = {"aud": audience, "azp": number, "email": email, "email_verified": True, "exp": int(now) + LIFETIME}
    claims |= {"iat": int(now), "iss": ISSUER, "sub": number}
    return sign(claims | other)


def sign(claims: dict[str, Any]) -> str:
    """Return the token with these claims, signed with the lab's key."""
    token: bytes = google.auth.jwt.encode(_signer(), claims)
    return token.decode()


def access_token(email: str, scope: str, now: float) -> str:
    """Return an access token of a service account, without readable content. For `email` and `now`, see `id_token`."""
    return f"ya29.lab-{sha256(f'{email} {scope} {int(now)}'.encode()).hexdigest()}"


@cache
def certificates() -> dict[str, str]:
    """Return the certificate of the lab's key, in the form of https://www.googleapis.com/oauth2/v1/certs.

    The dict maps the id of the key to the certificate in PEM format. `google.auth.jwt.decode` accepts it.
    """
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lab.tutorial.appspot.com")])
    builder = x509.CertificateBuilder(name, name, _key().public_key(), 1, datetime(1970, 1, 1), datetime(9999, 12, 31))
    pem = builder.sign(_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return {_signer().key_id: pem.decode()}


@cache
def _signer() -> Any:
    encoding = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    key_id = sha256(_key().public_key().public_bytes(*encoding)).hexdigest()[:40]
    return google.auth.crypt.RSASigner(_key(), key_id)


@cache
def _key() -> rsa.RSAPrivateKey:
    random = Random(_SEED)
    p, q = _find_prime(random), _find_prime(random)
    d = pow(_EXPONENT, -1, (p - 1) * (q - 1))
    crt = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, *crt, rsa.RSAPublicNumbers(_EXPONENT, p * q)).private_key()


def _find_prime(random: Random) -> int:
    """Return a random prime. If a number passes Fermat's test but isn't prime, `private_key` refuses it."""
    while True:
        number = random.getrandbits(_PRIME_BITS) | 3 << _PRIME_BITS - 2 | 1
        if all(number % each for each in _SMALL_PRIMES) and pow(2, number - 1, number) == 1:
            return number


def _account_number(email: str) -> str:
    """Return the number of a service account, which has 21 digits."""
    return f"1{int(sha256(email.encode()).hexdigest(), 16) % 10**20:020}"
