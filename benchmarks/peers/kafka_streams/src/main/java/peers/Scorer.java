package peers;

import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * Scores card payments: features of the card, repartitioned by terminal, features of the terminal, an ONNX model, alerts.
 *
 * <p>State is in RocksDB with changelogs; delivery is at least once, Kafka Streams' default: after a crash the payments since the last
 * commit are counted and alerted again.
 */
public final class Scorer {
  private Scorer() {}

  public static void main(String[] args) throws Exception {
    Model model = new Model(given("MODEL"));
    Topology topology = topology(model, Float.parseFloat(given("THRESHOLD")), new Progress());
    KafkaStreams streams = new KafkaStreams(topology, config());
    CountDownLatch ended = new CountDownLatch(1);
    streams.setUncaughtExceptionHandler(
        error -> {
          error.printStackTrace();
          return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    streams.setStateListener(
        (now, before) -> {
          if (now == KafkaStreams.State.ERROR) {
            ended.countDown();
          }
        });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(60))));
    streams.start();
    ended.await();
    System.exit(1);
  }

  static Topology topology(Model model, float threshold, Progress progress) {
    Serde<String> ids = Serdes.String();
    StreamsBuilder builder = new StreamsBuilder();
    builder.addStateStore(store(CardFeatures.STORE));
    builder.addStateStore(store(TerminalScore.STORE));
    builder.stream(given("TRANSACTIONS"), Consumed.with(ids, JsonSerde.of(Payment.class)))
        .process(CardFeatures::new, CardFeatures.STORE)
        .repartition(Repartitioned.with(ids, JsonSerde.of(PaymentOfCard.class)).withName("by-terminal"))
        .process(() -> new TerminalScore(model, threshold, progress), TerminalScore.STORE)
        .to(given("ALERTS"), Produced.with(ids, JsonSerde.of(Alert.class)));
    return builder.build();
  }

  private static StoreBuilder<KeyValueStore<String, EntityTiles>> store(String name) {
    return Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(name), Serdes.String(), EntityTiles.serde()).withCachingEnabled();
  }

  private static Properties config() {
    Properties config = new Properties();
    config.put(StreamsConfig.APPLICATION_ID_CONFIG, given("GROUP"));
    config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, given("BROKERS"));
    config.put(StreamsConfig.STATE_DIR_CONFIG, given("STATE"));
    config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.AT_LEAST_ONCE);
    config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
    config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 128L << 20);
    config.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    // Streams does not leave its group when it stops: this is how long the next instance waits for it.
    config.put(StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), 10_000);
    config.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
    config.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 128 << 10);
    return config;
  }

  private static String given(String name) {
    String value = System.getenv("PEER_" + name);
    if (value == null) {
      throw new IllegalArgumentException("PEER_" + name + " is not set");
    }
    return value;
  }
}
