package peers;

/** What a terminal's partition needs of a payment: itself, and the features of its card. */
record PaymentOfCard(Payment payment, float[] cardFeatures) {}
