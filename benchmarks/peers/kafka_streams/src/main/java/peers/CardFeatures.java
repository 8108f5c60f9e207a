package peers;

import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Counts a payment at its card, and sends it on to its terminal with the card's features. */
final class CardFeatures extends ContextualProcessor<String, Payment, String, PaymentOfCard> {
  static final String STORE = "cards";

  private KeyValueStore<String, EntityTiles> cards;

  @Override
  public void init(ProcessorContext<String, PaymentOfCard> context) {
    super.init(context);
    cards = context.getStateStore(STORE);
  }

  @Override
  public void process(Record<String, Payment> record) {
    Payment payment = record.value();
    EntityTiles tiles = cards.get(payment.cardId());
    if (tiles == null) {
      tiles = new EntityTiles();
    }
    float[] features = new float[EntityTiles.FEATURES];
    tiles.count(payment, features, 0);
    cards.put(payment.cardId(), tiles);
    context().forward(record.withKey(payment.terminalId()).withValue(new PaymentOfCard(payment, features)));
  }
}
