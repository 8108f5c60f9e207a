"""Why TLS was not agreed on, in words: what a library says of it names its source code."""

from __future__ import annotations

import ssl

_EXPIRED, _NOT_YET = 10, 9
_OF_ANOTHER = frozenset({62, 64})
"""OpenSSL's numbers, X509_V_ERR_*: a certificate for another name, or for another address."""


def why_no_tls(error: ssl.SSLError) -> str:
    """What is wrong, without a full stop."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS was not agreed on ({(error.reason or str(error)).replace('_', ' ').lower()})"
    said = error.verify_message.rstrip(".")
    if error.verify_code == _EXPIRED:
        return "its certificate has expired, or this machine's clock is ahead; renew it, or set the clock"
    if error.verify_code == _NOT_YET:
        return "its certificate is not valid yet, or this machine's clock is behind; set the clock"
    if error.verify_code in _OF_ANOTHER:
        return f"its certificate is for another name ({said}); write the address by a name that it is for"
    return f"its certificate is signed by nobody who is trusted here ({said}); name the file with the CA that signed it"
