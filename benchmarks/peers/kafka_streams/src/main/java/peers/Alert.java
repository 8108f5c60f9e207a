package peers;

import com.fasterxml.jackson.annotation.JsonProperty;

/** A payment whose score reached the threshold. */
record Alert(
    @JsonProperty("transaction_id") String transactionId,
    @JsonProperty("card_id") String cardId,
    @JsonProperty("score") float score) {}
