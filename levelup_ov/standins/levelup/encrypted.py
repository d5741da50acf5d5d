"""What a phone's app encrypts before it sends it: the members of a card. Pure but for the key that it makes.

``$bt4|<library>$<keys>$<data>$<signature>``, or ``$bt3|<library>$<key>$<data>`` of the Android library: base64 each.
The keys, in base64 once more, are encrypted by RSA with PKCS #1 v1.5; the data by AES in CBC mode, its vector first.
The signature is an HMAC with SHA-256 (iOS ``BTEncryption``, Android ``Braintree``).
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode, b64encode

from cryptography.hazmat.primitives import padding, serialization
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BITS = 2048
KEY_LENGTH, VECTOR_LENGTH = 32, 16


def new_key() -> str:
    """A private key, in PEM."""
    return (
        rsa.generate_private_key(65537, BITS)
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def public_key_of(pem: str) -> str:
    """The key that an app is built with: the DER of its public part, in base64."""
    public = _private(pem).public_key()
    return b64encode(public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)).decode()


def decrypted(text: str, pem: str) -> str | None:
    """What was encrypted; None: it was not, or not with the public part of this key."""
    try:
        head, *parts = text.removeprefix("$").split("$")
        decoded = [b64decode(part, validate=True) for part in parts]
        keys = b64decode(_private(pem).decrypt(decoded[0], rsa_padding.PKCS1v15()), validate=True)
        key, signing_key, data = keys[:KEY_LENGTH], keys[KEY_LENGTH:], decoded[1]
        if head.startswith("bt4|"):
            if not hmac.compare_digest(hmac.digest(signing_key, data, "sha256"), decoded[2]):
                return None
        elif not head.startswith("bt3|"):
            return None
        decryptor = Cipher(algorithms.AES(key), modes.CBC(data[:VECTOR_LENGTH])).decryptor()
        padded = decryptor.update(data[VECTOR_LENGTH:]) + decryptor.finalize()
        unpadder = padding.PKCS7(128).unpadder()
        return (unpadder.update(padded) + unpadder.finalize()).decode()
    except (ValueError, IndexError, binascii.Error):
        return None


def _private(pem: str) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key
