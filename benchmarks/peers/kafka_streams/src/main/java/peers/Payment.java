package peers;

import com.fasterxml.jackson.annotation.JsonProperty;

/** A payment as the topic of transactions has it; fields that no feature takes are passed over. */
record Payment(
    @JsonProperty("transaction_id") String transactionId,
    @JsonProperty("card_id") String cardId,
    @JsonProperty("terminal_id") String terminalId,
    @JsonProperty("event_time") long eventTimeMs,
    @JsonProperty("amount") double amount) {

  /** Money is added up in cents: sums are exact, in whatever order. */
  long cents() {
    return Math.round(amount * 100);
  }
}
