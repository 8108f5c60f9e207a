package peers;

import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Counts a payment at its terminal, asks the model, and forwards an alert from the threshold on. */
final class TerminalScore extends ContextualProcessor<String, PaymentOfCard, String, Alert> {
  static final String STORE = "terminals";

  private final Model model;
  private final float threshold;
  private final Progress progress;
  private final float[] vector = new float[1 + 2 * EntityTiles.FEATURES];
  private KeyValueStore<String, EntityTiles> terminals;
  private Model.Input input;

  TerminalScore(Model model, float threshold, Progress progress) {
    this.model = model;
    this.threshold = threshold;
    this.progress = progress;
  }

  @Override
  public void init(ProcessorContext<String, Alert> context) {
    super.init(context);
    terminals = context.getStateStore(STORE);
    input = model.input(vector.length);
  }

  @Override
  public void process(Record<String, PaymentOfCard> record) {
    Payment payment = record.value().payment();
    EntityTiles tiles = terminals.get(payment.terminalId());
    if (tiles == null) {
      tiles = new EntityTiles();
    }
    vector[0] = (float) (payment.cents() / 100.0);
    System.arraycopy(record.value().cardFeatures(), 0, vector, 1, EntityTiles.FEATURES);
    tiles.count(payment, vector, 1 + EntityTiles.FEATURES);
    terminals.put(payment.terminalId(), tiles);
    float score = input.score(vector);
    if (score >= threshold) {
      context().forward(record.withKey(payment.cardId()).withValue(new Alert(payment.transactionId(), payment.cardId(), score)));
    }
    progress.scored();
  }

  @Override
  public void close() {
    input.close();
  }
}
