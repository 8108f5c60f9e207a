"""The table of entities: what names each, under which keys it lies, and what a deployment keeps."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_app.errors import SettingsError
from stream_app.features.entities import ALL, ENTITIES, KEPT_BY_DEFAULT, KINDS, check_kinds, in_order, ip_prefix, kept_of
from stream_app.messages.transaction import Label, Transaction


@given(st.ip_addresses())
def test_an_address_stands_for_its_network(address: object) -> None:
    """The first 24 bits of IPv4, the first 48 of IPv6; an IPv4 address in the clothes of IPv6 is the same one."""
    text = str(address)
    mapped = getattr(address, "ipv4_mapped", None)
    expected = ip_network(f"{mapped or text}/{48 if ':' in text and not mapped else 24}", strict=False)
    assert ip_prefix(text) == str(expected)
    if "." in text:
        assert ip_prefix(f"::ffff:{text}") == ip_prefix(text)


@given(st.text(max_size=64))
@example("203.0.113.7/24")
@example("203.0.113.256")
@example("fe80::1%eth0")
def test_a_text_that_is_no_address_stands_for_none(text: str) -> None:
    """It is never an error: the payment names no network then. What it stands for is a network again."""
    prefix = ip_prefix(text)
    assert prefix is None or str(ip_network(prefix)) == prefix


def test_every_entity_is_a_field_of_payments_and_of_labels_that_name_it() -> None:
    """Else none would ever be named, and nobody would hear of it."""
    for kind in KINDS.values():
        assert kind.field in Transaction.__struct_fields__
        assert (kind.field in Label.__struct_fields__) == kind.labelled


def test_an_entity_without_a_line_or_with_the_key_of_another_stops_the_program() -> None:
    """Naming it."""
    with pytest.raises(SettingsError, match="the table has card, terminal"):
        check_kinds({entity: KINDS[entity] for entity in ENTITIES[:2]})
    with pytest.raises(SettingsError, match="The key 't' is taken"):
        check_kinds({**KINDS, "merchant": replace(KINDS["merchant"], key="t")})


def test_what_a_deployment_keeps_is_a_list_of_names() -> None:
    """Cards always, in whatever order; another name is refused with those that there are."""
    assert kept_of("terminal,device") == KEPT_BY_DEFAULT
    assert kept_of("ip,country,mcc,merchant,device,terminal") == ALL
    assert in_order(kept_of("mcc,terminal")) == ("terminal", "mcc")
    with pytest.raises(SettingsError, match=r"FRAUDSTREAM_ENTITIES names 'shop', which is no entity\. Allowed: terminal, device, merchant"):
        kept_of("terminal,shop")
