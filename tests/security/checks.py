"""What an attacker or an accident could do before it was mended, which tests hold the mend, and how to switch it off to see them fail."""

from __future__ import annotations

from dataclasses import dataclass

UNIT, SERVERS, SHIP = "tests/unit", "tests/integration", "tests/ship"


@dataclass(frozen=True, slots=True)
class Check:
    """One row.

    Attributes:
        finding: what could happen, a sentence.
        tests: pytest's ids of the tests that hold the mend, without parameters.
        file: where the mend is.
        mended: a text that stands once in it.
        broken: what takes its place to switch the mend off.
    """

    finding: str
    tests: tuple[str, ...]
    file: str
    mended: str
    broken: str


_RECORDS = (
    Check(
        "A record with a key of megabytes, folded small, has a dead letter that its topic does not take: the worker ends, and each after it.",
        (
            f"{UNIT}/delivery/test_dead_letter.py::test_key_value_and_headers_are_bounded_together_and_each_form_is_shorter_down_to_headers_alone",
        ),
        "stream_app/delivery/dead_letter.py",
        "key[: min(MOST_KEY_BYTES, most // 2)]",
        "key",
    ),
    Check(
        "A message that is too large for its topic is taken for a Kafka that does not answer, and is tried for ever.",
        (f"{SERVERS}/test_publishing.py::test_every_record_has_one_letter_that_its_topic_takes",),
        "stream_app/adapters/kafka/publisher.py",
        "isinstance(answer, _TOO_LARGE) or (isinstance",
        "(isinstance",
    ),
    Check(
        "What an exception says of a record, of any length and with a card number in it, travels in a header of its dead letter.",
        (f"{UNIT}/delivery/test_dead_letter.py::test_what_an_error_says_is_fit_for_a_header",),
        "stream_app/delivery/dead_letter.py",
        "shown(error.message).encode()",
        'error.message.encode(errors="replace")',
    ),
    Check(
        "A card number whose digits stand in groups is taken for a token: it goes into keys, alerts and logs.",
        (f"{UNIT}/messages/test_card_numbers.py::test_published_test_numbers_are_card_numbers",),
        "stream_app/messages/card_numbers.py",
        "if _RUN_OF_TEXT.fullmatch(number) is None:",
        "if True:",
    ),
    Check(
        "A card number in groups stays in a dead letter beside the one that was taken out.",
        (f"{UNIT}/messages/test_card_numbers.py::test_all_numbers_at_once_are_taken_out_as_one_by_one",),
        "stream_app/messages/card_numbers.py",
        "for m in range(n, len(groups)):",
        "for m in range(n, n + 1):",
    ),
    Check(
        "A small batch that unfolds to hundreds of megabytes takes the memory of every worker that is given its partition.",
        (
            f"{UNIT}/adapters/test_record_batches.py::test_a_small_batch_that_unfolds_to_400_mb_takes_some_megabytes_and_its_neighbours_are_read",
        ),
        "stream_app/adapters/kafka/record_stream.py",
        "PIECE_BYTES = 2**20",
        "PIECE_BYTES = 2**26",
    ),
    Check(
        "A poll returns as many bytes as were fetched, however large its records are.",
        (f"{UNIT}/adapters/test_record_batches.py::test_a_poll_ends_with_the_record_that_goes_beyond_its_bytes",),
        "stream_app/adapters/kafka/record_batches.py",
        "if size >= MOST_BYTES_AT_ONCE or (",
        "if (",
    ),
    Check(
        "Records that wait are bounded in number alone: large ones fill a worker's memory.",
        (f"{UNIT}/delivery/test_inbox.py::test_a_partition_takes_no_more_than_its_share_of_the_workers_memory",),
        "stream_app/delivery/inbox.py",
        " and queue.size < self._most_bytes",
        "",
    ),
    Check(
        "A micro-batch is bounded in number alone: so many dead letters of the largest size are under way at once.",
        (f"{UNIT}/delivery/test_inbox.py::test_batches_have_all_records_once_in_order_and_are_bounded_in_bytes",),
        "stream_app/delivery/inbox.py",
        " and size < MOST_BATCH_BYTES",
        "",
    ),
    Check(
        "A zstd frame with a wide window makes a worker hold all that it unfolds to.",
        (f"{UNIT}/adapters/test_record_batches.py::test_a_wide_frame_of_zstd_that_holds_too_much_is_given_up_without_unfolding_it",),
        "stream_app/adapters/kafka/unfolding.py",
        "if zstandard.frame_content_size(folded) > MOST_AT_ONCE_BYTES:",
        "if False:",
    ),
    Check(
        "A record that breaks the program stops its partition for ever.",
        (f"{UNIT}/delivery/test_faulty_records.py::test_the_culprits_are_dead_lettered_with_what_was_raised_and_their_neighbours_decided",),
        "stream_app/delivery/faulty_records.py",
        "await self._take(one.refused(error if isinstance(error, RecordError) else refusal))",
        "raise error",
    ),
    Check(
        "Records of a producer that uses lz4, snappy or zstd end every worker.",
        (f"{UNIT}/adapters/test_kafka_errors.py::test_every_codec_of_kafka_is_read",),
        "stream_app/adapters/kafka/unfolding.py",
        "(_plain, _gzip, _snappy, _lz4, _zstd)",
        "(_plain, _gzip)",
    ),
    Check(
        "A codec that is not installed is told as records that are damaged, without what installs it.",
        (f"{UNIT}/adapters/test_kafka_errors.py::test_a_codec_that_is_not_installed_is_named_with_the_command_that_installs_it",),
        "stream_app/adapters/kafka/errors.py",
        "if known and isinstance(error, UnsupportedCodecError):",
        "if False:",
    ),
    Check(
        "A record without a key has a dead letter without one, which a compacted topic refuses for ever.",
        (f"{UNIT}/delivery/test_dead_letter.py::test_a_record_without_a_key_gets_one_that_no_other_has",),
        "stream_app/delivery/dead_letter.py",
        "key = origin.key if key is None else key[",
        'key = b"" if key is None else key[',
    ),
    Check(
        "Alerts and scores in a compacted topic are lost, and nothing says so.",
        (f"{UNIT}/adapters/test_topology.py::test_a_compacted_output_loses_records_and_is_named_with_the_command",),
        "stream_app/adapters/kafka/topology.py",
        'if "compact" in config.cleanup else None',
        "if False else None",
    ),
)

_TIMES = (
    Check(
        "A producer's clock that is months ahead makes payments of the future, and their terminals read nothing until then.",
        (f"{UNIT}/messages/test_transaction.py::test_a_producer_whose_clock_is_months_ahead_is_refused_by_the_clock",),
        "stream_app/messages/transaction.py",
        "if now_ms is not None and (by_clock_ms",
        "if now_ms is None and (by_clock_ms",
    ),
    Check(
        "One payment dated far ahead makes every card and terminal of its partition look idle, and their state is removed.",
        (f"{UNIT}/delivery/test_future.py::test_one_payment_dated_129_days_ahead_removes_no_card",),
        "stream_app/delivery/sweeper.py",
        "(reached_ms := self._times_ms.says) is None",
        "(reached_ms := max(times_ms, default=None)) is None",
    ),
    Check(
        "The time of one last record says how far back lost state is rebuilt: dated ahead, nearly nothing is, and no decision is marked.",
        (f"{UNIT}/delivery/test_future.py::test_the_last_records_timestamp_alone_does_not_say_where_a_rebuild_begins",),
        "stream_app/delivery/rebuild.py",
        "LastDecided(min(median(times_ms), now_ms), ",
        "LastDecided(times_ms[-1], ",
    ),
    Check(
        "The time of the first record that is kept says alone from when windows are full.",
        (f"{UNIT}/delivery/test_future.py::test_the_first_record_that_is_kept_does_not_say_alone_when_the_windows_are_full",),
        "stream_app/delivery/rebuild.py",
        "if EARLIEST_EVENT_TIME_MS <= at <= now_ms + DAY_S * 1000] for place, of in found.items()}\n"
        "    return {place: median(times_ms) for place,",
        "] for place, of in found.items()}\n    return {place: times_ms[0] for place,",
    ),
    Check(
        "One payment dated ahead blinds the watch on drift until a restart.",
        (f"{UNIT}/scoring/test_drift.py::test_payments_with_a_wild_time_blind_nobody",),
        "stream_app/scoring/drift.py",
        "hour = median(times_ms[::step].tolist())",
        "hour = max(times_ms[::step].tolist())",
    ),
    Check(
        "A Kafka timestamp that no calendar has ends a takeover.",
        (f"{UNIT}/delivery/test_wild_timestamps.py::test_a_day_that_does_not_exist_is_told_as_the_last_one",),
        "stream_app/messages/event_time.py",
        "min(max(0, at_ms), MAX_EVENT_TIME_MS) / 1000",
        "at_ms / 1000",
    ),
    Check(
        "A machine whose clock is hours behind refuses payments on time as dated ahead, and that stands.",
        (f"{UNIT}/delivery/test_trusted_clock.py::test_a_clock_too_far_behind_the_witness_decides_nothing",),
        "stream_app/delivery/trusted_clock.py",
        "if behind_ms > self._most_behind_ms:",
        "if behind_ms > self._most_behind_ms * 1e9:",
    ),
    Check(
        "Topics are made that take records of any future time.",
        (f"{UNIT}/adapters/test_topics.py::test_topics_are_made_with_what_brokers_can_bound",),
        "stream_app/adapters/kafka/topics.py",
        ", _AHEAD: str(PRODUCER_AHEAD_MS)}",
        "}",
    ),
    Check(
        "An input that takes records of any future time is not told of.",
        (f"{UNIT}/adapters/test_topology.py::test_an_input_that_takes_what_its_brokers_could_bound_is_named_with_the_command",),
        "stream_app/adapters/kafka/topology.py",
        'if config.timestamp_type == "CreateTime" and config.ahead_ms > DAY_MS:',
        "if False:",
    ),
    Check(
        "Times in seconds are scored as of 1970, with windows a thousand times too wide.",
        (f"{UNIT}/messages/test_transaction.py::test_a_time_before_2000_is_refused_with_the_sentence_of_the_file_reader",),
        "stream_app/messages/event_time.py",
        "Meta(ge=EARLIEST_EVENT_TIME_MS, ",
        "Meta(ge=0, ",
    ),
)

_STATE = (
    Check(
        "A reader's mark of damage that comes while its partition is begun anew ends every worker that owns it.",
        ("tests/contract/test_damage_mark.py::test_a_mark_of_before_is_passed_over_and_falls_with_the_next_write",),
        "stream_app/adapters/redis/damage_mark.py",
        "if mark == owner.encode():",
        "if mark is not None:",
    ),
    Check(
        "Damage that is met once while a partition is rebuilt ends the worker.",
        (
            f"{UNIT}/delivery/test_held_partitions.py::test_damage_amid_a_rebuild_begins_anew_three_times_and_then_ends_the_worker_with_a_code_of_its_own",
        ),
        "stream_app/delivery/held_partitions.py",
        "if times > ANEW_WHILE_REBUILT:",
        "if times > 0:",
    ),
    Check(
        "A value in Redis that somebody else changed is taken for a card's state.",
        (f"{UNIT}/features/test_packing.py::test_a_flipped_or_cut_value_is_refused_by_the_name_of_its_key",),
        "stream_app/features/checksum.py",
        "and _word(buffer, start) == checksum(buffer, start + _BYTES, end)",
        "",
    ),
    Check(
        "A packed card that says it remembers more than there is room for is read beyond its row.",
        (f"{UNIT}/features/test_packing.py::test_a_card_that_says_it_remembers_more_than_there_is_room_for_is_refused",),
        "stream_app/features/ledger.py",
        "if 0 <= used <= most else (0, -1)",
        "if 0 <= used <= most else (most, at)",
    ),
    Check(
        "A card in Redis that says where its next transaction goes has it written beyond its row, into other memory of the worker.",
        (f"{UNIT}/features/test_packing.py::test_a_card_whose_next_transaction_goes_beyond_its_row_is_refused",),
        "stream_app/features/ledger.py",
        "row[RECENT_NEXT], at = _get_count(buffer, at, end, RECENT_LEN - 1)",
        "row[RECENT_NEXT], at = get(buffer, at, end)",
    ),
    Check(
        "A case in Redis that is no text makes dead letters of all payments of its card.",
        (f"{UNIT}/features/test_packing.py::test_a_case_that_is_no_text_is_damage_and_no_fault_of_a_payment",),
        "stream_app/features/packing.py",
        "except UnicodeDecodeError:",
        "except ZeroDivisionError:",
    ),
    Check(
        "Another topic under the same group is read from the former one's offset: its first payments are never decided.",
        (f"{UNIT}/delivery/test_delivery.py::test_another_topic_under_the_same_group_stops_the_worker_and_is_named_with_the_former",),
        "stream_app/delivery/log_identity.py",
        "if not former:",
        "if True:",
    ),
    Check(
        "A log that lost records and grew again is read on from the cursor: payments in their place are never decided.",
        (f"{UNIT}/delivery/test_delivery.py::test_a_log_that_grew_again_stops_a_worker_that_would_rebuild_damaged_state_too",),
        "stream_app/delivery/log_identity.py",
        "raise _grown_again(number, topic, last[topic])",
        "continue",
    ),
    Check(
        "A running worker whose log is cut and grows again below where it stood passes over what comes there.",
        (
            f"{UNIT}/delivery/test_delivery.py::test_a_running_worker_whose_log_is_read_from_below_where_it_stood_looks_whether_it_is_the_same",
        ),
        "stream_app/delivery/inbox.py",
        "self.went_back |= fetched.records[0].offset < self.position",
        "self.went_back = False",
    ),
    Check(
        "Topics whose brokers may lose what they took are not told of.",
        (f"{UNIT}/adapters/test_topology.py::test_a_topic_that_may_lose_what_it_took_is_named_with_the_command",),
        "stream_app/adapters/kafka/topology.py",
        "if config.unclean:",
        "if False:",
    ),
    Check(
        "A takeover that reads a day of outputs is given up after half a minute as a Kafka that is away, again at each start.",
        (f"{SERVERS}/test_takeover_reads.py::test_a_takeover_that_reads_for_long_is_no_kafka_that_is_away",),
        "stream_app/adapters/kafka/log.py",
        "self._consumer(open_, within_s=None, ",
        "self._consumer(open_, ",
    ),
    Check(
        "A takeover that reads for long is ended as a worker that hangs.",
        (f"{UNIT}/delivery/test_held_partitions.py::test_a_takeover_that_reads_its_outputs_for_long_makes_progress",),
        "stream_app/delivery/held_partitions.py",
        " + self._shared.outputs.pieces",
        "",
    ),
    Check(
        "The reasons of all decisions that are only counted again are kept in memory for the time of a rebuild.",
        (f"{UNIT}/delivery/test_foreign_records.py::test_of_a_decision_that_is_only_counted_again_no_reasons_are_kept",),
        "stream_app/scoring/already_published.py",
        "setdefault(offset, msgspec.structs.replace(decision, reasons=(), rules=(), lists=()))",
        "setdefault(offset, decision)",
    ),
    Check(
        "A record among alerts or scores that is none ends every takeover that reads it.",
        (f"{UNIT}/delivery/test_foreign_records.py::test_a_worker_decides_as_if_they_were_not_there",),
        "stream_app/scoring/already_published.py",
        "return decoded(_VERDICT, value)",
        "return None if value is None else _VERDICT.decode(value)",
    ),
    Check(
        "Outputs that were made from a topic that was deleted since count for the one of its name.",
        (f"{UNIT}/delivery/test_delivery.py::test_a_cursor_of_topics_that_are_gone_says_nothing_of_those_that_are_there",),
        "stream_app/delivery/takeover.py",
        "if c is not None and c.topic_ids == ids]",
        "if c is not None]",
    ),
)

_API = (
    Check(
        "Requests that wait keep probes and metrics out: an API that is busy, or whose Redis hangs, is ended by its supervisor.",
        (
            f"{UNIT}/api/test_probes.py::test_every_route_is_a_probe_that_is_answered_when_all_places_are_taken_or_takes_one_and_is_refused",
            f"{UNIT}/api/test_probes.py::test_probes_take_no_place_even_where_their_callers_read_slowly",
        ),
        "stream_app/api/limits.py",
        'place = int(scope["path"] not in PROBES)',
        "place = 1",
    ),
    Check(
        "Callers that are refused and do not read it keep probes out.",
        (f"{UNIT}/api/test_probes.py::test_a_probe_is_answered_while_a_refusal_waits_for_its_reader",),
        "stream_app/api/limits.py",
        'self._under_way > MOST_AT_ONCE and scope["path"] not in PROBES:',
        "self._under_way > MOST_AT_ONCE:",
    ),
    Check(
        "A load balancer replaces every task of the API while Redis is away.",
        (f"{UNIT}/api/test_probes.py::test_an_outage_ends_no_process",),
        "terraform/modules/api/main.tf",
        'path                = "/startupz"',
        'path                = "/health"',
    ),
    Check(
        "A connection that says nothing, or half a head, stays open for ever.",
        (f"{UNIT}/api/test_connections.py::test_a_connection_that_begins_no_whole_head_is_closed",),
        "stream_app/api/connections.py",
        "self._deadline = self.loop.call_later(most_s, self.transport.abort)",
        "self._deadline = None",
    ),
    Check(
        "A caller that takes no answer holds its connection for ever.",
        (f"{UNIT}/api/test_connections.py::test_who_takes_no_answer_is_closed",),
        "stream_app/api/connections.py",
        "self._unsent = self.loop.call_later(MOVES_WITHIN_S, self.transport.abort)",
        "self._unsent = None",
    ),
    Check(
        "Connections that are only opened take all files that the API's process may have open.",
        (f"{UNIT}/api/test_connections.py::test_one_connection_too_many_closes_the_one_that_waits_for_longest",),
        "stream_app/api/connections.py",
        "if len(self.connections) > MOST_CONNECTIONS:",
        "if False:",
    ),
    Check(
        "A web page whose name was made to lead to loopback asks an API without keys, and sends it labels.",
        (f"{UNIT}/api/test_api.py::test_without_keys_another_name_is_refused_with_the_remedy",),
        "stream_app/api/app.py",
        "app.add_middleware(ByItsOwnName)",
        "pass",
    ),
    Check(
        "A failure of a look-up writes the card's token into the log.",
        (f"{UNIT}/api/test_api.py::test_no_log_holds_what_a_request_holds",),
        "stream_app/api/limits.py",
        'error("{} {} failed", scope["method"], _route(scope))',
        'error("{} {} failed", scope["method"], scope["path"])',
    ),
    Check(
        "A token with a slash in it is counted, and cannot be looked up.",
        (f"{UNIT}/api/test_api.py::test_an_id_with_a_slash_is_looked_up_by_its_encoded_form",),
        "stream_app/api/app.py",
        "/v1/cards/{card_id:path}",
        "/v1/cards/{card_id}",
    ),
    Check(
        "A packed body is told to be no UTF-8.",
        (f"{UNIT}/api/test_api.py::test_a_packed_body_is_refused_as_such",),
        "stream_app/api/bodies.py",
        'if coding != "identity":',
        "if False:",
    ),
    Check(
        "Who asks by HEAD whether the API is well is refused.",
        (f"{UNIT}/api/test_probes.py::test_head_is_answered_wherever_get_is",),
        "stream_app/api/app.py",
        "    _answer_head(app)\n",
        "",
    ),
    Check(
        "The gateway lets everybody read metrics, versions and the API's description.",
        (f"{UNIT}/project/test_rights.py::test_api_gateway_lets_through_the_routes_that_ask_for_a_key_and_no_others",),
        "terraform/modules/api/gateway.tf",
        "routes = [",
        'routes = [\n    "GET /metrics",',
    ),
)

_SERVERS = (
    Check(
        "A wrong password of Kafka is told as a Kafka that does not answer.",
        (f"{SERVERS}/test_guarded_servers.py::test_a_refused_login_to_kafka_names_its_settings",),
        "stream_app/adapters/kafka/connecting.py",
        "return known[0]",
        "return None",
    ),
    Check(
        "A right that is missing on a topic is told as a Kafka that does not answer.",
        (f"{SERVERS}/test_guarded_servers.py::test_a_missing_right_is_named_with_what_it_is_on",),
        "stream_app/adapters/kafka/refusals.py",
        "if isinstance(error, TopicAuthorizationFailedError):",
        "if False:",
    ),
    Check(
        "A topic that may not be read ends the worker with a traceback of Faust.",
        (f"{UNIT}/adapters/test_unreadable.py::test_a_topic_that_may_not_be_read_ends_the_worker_by_its_cause",),
        "stream_app/adapters/faust/batches.py",
        'unpack_error(error) or refusal(error, "READ")',
        "unpack_error(error)",
    ),
    Check(
        "A consumer group that another program uses keeps a worker out for ever, and it says that others hold all.",
        (f"{SERVERS}/test_guarded_servers.py::test_a_group_that_another_program_uses_ends_the_worker_with_one_line",),
        "stream_app/adapters/kafka/refusals.py",
        "if isinstance(error, InconsistentGroupProtocolError):",
        "if False:",
    ),
    Check(
        "A Redis whose memory is full is told as one that does not answer.",
        (f"{SERVERS}/test_guarded_servers.py::test_a_full_memory_of_redis_is_told_as_that_and_the_batch_is_written_when_there_is_room",),
        "stream_app/adapters/redis/refusals.py",
        "if isinstance(error, OutOfMemoryError):",
        "if False:",
    ),
    Check(
        "A login that Redis refuses is tried again as silence.",
        (f"{SERVERS}/test_guarded_servers.py::test_a_refused_login_to_redis_names_the_url",),
        "stream_app/adapters/redis/refusals.py",
        "if isinstance(error, (AuthenticationError, AuthenticationWrongNumberOfArgsError, AuthorizationError)):",
        "if False:",
    ),
    Check(
        "A # in the password of Redis puts half of it into the log.",
        (f"{UNIT}/test_settings.py::test_a_url_of_redis_that_cannot_work_says_why_and_how_to_write_it",),
        "stream_app/messages/checked_addresses.py",
        'if "#" in text:',
        "if False:",
    ),
    Check(
        "An error about a wrong address shows its password.",
        (f"{UNIT}/test_settings.py::test_a_wrong_address_is_told_without_its_password",),
        "stream_app/settings.py",
        " or _may_hold_password(str(given)) else",
        " else",
    ),
    Check(
        "An option in the URL of Redis changes what its answers are.",
        (f"{UNIT}/test_settings.py::test_a_url_of_redis_that_cannot_work_says_why_and_how_to_write_it",),
        "stream_app/messages/checked_addresses.py",
        "        if form is None:\n",
        "        if form is None:\n            continue\n        if form is None:\n",
    ),
    Check(
        "Users of Redis in AWS have other rights than those that were tried on a real one.",
        (f"{UNIT}/project/test_rights.py::test_users_of_redis_have_the_rights_of_the_document",),
        "terraform/modules/redis/main.tf",
        'api    = "~{${var.consumer_group}:* -@all ',
        'api    = "~{${var.consumer_group}:* +@all ',
    ),
    Check(
        "The API's pod holds the worker's logins.",
        (f"{SHIP}/test_helm.py::test_a_component_has_a_login_of_its_own",),
        "helm/fraudstream/templates/_pods.tpl",
        "{{- $own := index $values.secrets .component }}",
        "{{- $own := $values.secrets.worker }}",
    ),
    Check(
        "A pod of the chart reaches servers that it has nothing to do with.",
        (f"{SHIP}/test_helm.py::test_a_pod_is_told_of_the_servers_that_it_talks_to_and_reaches_no_others",),
        "helm/fraudstream/templates/networkpolicies.yaml",
        'index $root.Values.secrets (ternary "worker" $component (eq $component "doctor"))',
        'index $root.Values.secrets "worker"',
    ),
    Check(
        "A plan of Terraform removes the brokers, the state or the models.",
        (f"{UNIT}/project/test_guards.py::test_a_plan_that_removes_what_holds_data_is_refused",),
        "terraform/modules/stack/main.tf",
        "prevent_destroy = true",
        "prevent_destroy = false",
    ),
    Check(
        "The registry of images forgets one that runs.",
        (f"{UNIT}/project/test_guards.py::test_no_image_that_has_a_tag_is_forgotten",),
        "terraform/modules/registry/main.tf",
        'tagStatus = "untagged"',
        'tagStatus = "any"',
    ),
    Check(
        "The brokers' disks fill up, and nobody is told.",
        (f"{UNIT}/project/test_guards.py::test_the_brokers_disks_grow_and_have_an_alarm",),
        "terraform/modules/observability/main.tf",
        '"KafkaDataLogsDiskUsed"',
        '"RootDiskUsed"',
    ),
    Check(
        "The clean-up of an old group, as it is documented, removes what a card's id with a space in it names.",
        (f"{UNIT}/project/test_guards.py::test_no_command_of_a_page_takes_a_key_for_several",),
        "docs/reliability.md",
        "xargs -d '\\n' redis-cli",
        "xargs redis-cli",
    ),
    Check(
        "The file of the API's keys is committed by accident.",
        (f"{UNIT}/project/test_guards.py::test_git_leaves_out_what_holds_secrets",),
        ".gitignore",
        "/api-keys\n",
        "",
    ),
)

_MODELS = (
    Check(
        "A registry's answer without end is read into memory.",
        (f"{UNIT}/adapters/test_registry.py::test_a_model_without_end_is_refused_and_not_kept_in_memory",),
        "stream_app/adapters/models/registry.py",
        "if len(content) > most_bytes:",
        "if len(content) > 10 * most_bytes:",
    ),
    Check(
        "A registry that drips holds a look for ever.",
        (f"{UNIT}/adapters/test_registry.py::test_a_model_that_drips_is_given_up",),
        "stream_app/adapters/models/registry.py",
        "if time.monotonic() > until:",
        "if len(content) > 100_000:  # else it would go on for ever\n                break\n            if False:",
    ),
    Check(
        "A model's file that was changed in its store is served.",
        (f"{UNIT}/adapters/test_registry.py::test_a_model_that_cannot_be_had_is_told_with_its_remedy",),
        "stream_app/adapters/models/registry.py",
        "if found != sha256:",
        "if False:",
    ),
    Check(
        "A proxy's 404 ends a challenger.",
        (f"{UNIT}/adapters/test_registry.py::test_an_alias_points_to_nothing_where_mlflow_says_so",),
        "stream_app/adapters/models/registry.py",
        "if fault.is_nothing_there:",
        "if True:",
    ),
    Check(
        "A name that MLflow does not know is told as a missing password.",
        (f"{UNIT}/training/test_who_and_where.py::test_an_mlflow_that_refuses_is_told_before_training",),
        "stream_app/messages/addresses.py",
        'if "host" in quoted.lower() and "header" in quoted.lower():',
        "if False:",
    ),
    Check(
        "A training by a user id without a name ends with a traceback.",
        (f"{UNIT}/training/test_who_and_where.py::test_a_user_that_this_machine_has_no_name_for_is_a_number",),
        "training/registry/catalogue.py",
        "return str(os.getuid())",
        "raise",
    ),
    Check(
        "An alias that MLflow keeps for itself is refused after the whole training, with a version registered.",
        (f"{UNIT}/training/test_who_and_where.py::test_an_alias_that_mlflow_keeps_is_refused_before_anything_starts",),
        "stream_app/settings.py",
        'reserved = alias.lower() == "latest" or ',
        "reserved = ",
    ),
    Check(
        "An image is built of packages that no hash names.",
        (f"{UNIT}/project/test_containers.py::test_nothing_is_installed_into_an_image_that_no_hash_names",),
        "Dockerfile",
        "--require-hashes -r requirements-build.lock",
        "-r requirements-build.lock",
    ),
)

_OTHERS = (
    Check(
        "Workers of a version before take a later version's state for damage, and have it rebuilt in turn with it.",
        (f"{UNIT}/delivery/test_later_version.py::test_versions_may_come_and_go_and_die_in_any_order",),
        "stream_app/features/packing.py",
        "        if value[CHECKSUM] > FORMAT:",
        "        if False:",
    ),
    Check(
        "A worker of a version before writes rows without the tiles that only a later version keeps, and no decision says so.",
        (
            f"{UNIT}/delivery/test_later_version.py::test_rows_of_a_later_layout_are_left_alone_and_what_was_decided_meanwhile_is_counted_when_that_version_is_back",
        ),
        "stream_app/scoring/positions.py",
        "return self.layout > LAYOUT_VERSION",
        "return False",
    ),
    Check(
        "A worker of a version before decides from a cursor of a later format, though it cannot read how far was decided.",
        (f"{UNIT}/adapters/test_stored_cursor.py::test_a_cursor_of_a_later_format_is_no_damage",),
        "stream_app/adapters/redis/stored_cursor.py",
        "return newer if newer.format > _CURSOR_FORMAT else",
        "return newer if False else",
    ),
    Check(
        "Rows keep something else, and no number says so to workers of the version before.",
        (f"{UNIT}/features/test_layout_version.py::test_rows_that_keep_something_else_have_a_number_of_their_own",),
        "stream_app/features/definitions.py",
        '        Feature("declines", "card", HOUR_S),\n        Feature("refunds", "card", month),',
        '        Feature("declines", "card", month),\n        Feature("refunds", "card", month),',
    ),
    Check(
        "A worker takes a partition over and does not say that its rows may keep more from now on.",
        ("tests/contract/test_later_version.py::test_a_cursor_of_an_earlier_layout_is_of_this_one_from_the_takeover_on",),
        "stream_app/scoring/positions.py",
        "layout=max(self.layout, LAYOUT_VERSION)",
        "layout=self.layout",
    ),
    Check(
        "Payments of a Kafka transaction that is aborted are decided and counted.",
        ("tests/e2e/test_aborted_transactions.py::test_an_aborted_payment_is_never_decided_nor_counted",),
        "stream_app/adapters/kafka/consumer.py",
        'COMMITTED = "read_committed"',
        'COMMITTED = "read_uncommitted"',
    ),
    Check(
        "A file of chargebacks that is sent each day raises a terminal's risk each day.",
        (f"{UNIT}/delivery/test_labels_once.py::test_a_file_of_chargebacks_that_is_sent_every_day_counts_once",),
        "stream_app/delivery/rounds.py",
        "        intake = intake.told(_told(parts, work))\n",
        "",
    ),
    Check(
        "A fraud whose payment another partitioner put elsewhere is counted as missed.",
        (f"{UNIT}/delivery/test_labels_once.py::test_a_label_of_a_payment_that_never_came_here_is_elsewhere",),
        "stream_app/scoring/outcomes.py",
        '"" if met.paid else "elsewhere"',
        '""',
    ),
    Check(
        "Labels overtake payments that Kafka already has, and move their cards' windows ahead of them.",
        (f"{UNIT}/delivery/test_label_order.py::test_no_label_overtakes_a_payment_that_kafka_had_when_it_gave_the_label",),
        "stream_app/delivery/inbox.py",
        "_LATER_ANSWERS = 2",
        "_LATER_ANSWERS = 0",
    ),
    Check(
        "With several brokers a label overtakes payments where an older answer of another broker is heard after it.",
        (f"{UNIT}/delivery/test_label_order.py::test_no_label_overtakes_a_payment_that_kafka_had_when_it_gave_the_label",),
        "stream_app/delivery/inbox.py",
        "_LATER_ANSWERS = 2",
        "_LATER_ANSWERS = 1",
    ),
    Check(
        "A score completes an alert that stands, with features that lack a later version's state, and does not say so.",
        (
            f"{UNIT}/delivery/test_later_version.py::test_a_score_whose_alert_stands_says_that_its_features_lack_the_state_that_is_left_alone",
        ),
        "stream_app/scoring/publication.py",
        "if verdict.degraded is None:",
        "if False:",
    ),
    Check(
        "A Redis that went back is read by other workers as if it were whole, and a day of decisions is held in memory.",
        (f"{UNIT}/delivery/test_delivery.py::test_a_redis_that_went_back_is_told_to_others_before_the_first_payment_is_counted_again",),
        "stream_app/delivery/takeover.py",
        "decided = cursor.decided.or_later(Position(*map(min, surely, ends)))",
        "decided = cursor.decided",
    ),
)

CHECKS: tuple[Check, ...] = (*_RECORDS, *_TIMES, *_STATE, *_API, *_SERVERS, *_MODELS, *_OTHERS)
