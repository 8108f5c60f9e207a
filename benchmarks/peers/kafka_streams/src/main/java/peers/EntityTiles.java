package peers;

import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** The state of a card or a terminal: the tiles of all windows. */
final class EntityTiles {
  /** Count and mean amount of each window. */
  static final int FEATURES = 2 * Window.ALL.size();

  private final WindowTiles[] windows = Window.ALL.stream().map(WindowTiles::new).toArray(WindowTiles[]::new);

  /** Counts a payment, and writes the features that it has, itself included. */
  void count(Payment payment, float[] into, int at) {
    long cents = payment.cents();
    for (int i = 0; i < windows.length; i++) {
      windows[i].add(payment.eventTimeMs(), cents);
      windows[i].features(payment.eventTimeMs(), into, at + 2 * i);
    }
  }

  static Serde<EntityTiles> serde() {
    return Serdes.serdeFrom((topic, tiles) -> tiles == null ? null : tiles.bytes(), (topic, bytes) -> bytes == null ? null : of(bytes));
  }

  private byte[] bytes() {
    int size = 0;
    for (WindowTiles window : windows) {
      size += Short.BYTES + window.size() * WindowTiles.TILE_BYTES;
    }
    ByteBuffer buffer = ByteBuffer.allocate(size);
    for (WindowTiles window : windows) {
      window.write(buffer);
    }
    return buffer.array();
  }

  private static EntityTiles of(byte[] bytes) {
    EntityTiles tiles = new EntityTiles();
    ByteBuffer buffer = ByteBuffer.wrap(bytes);
    for (WindowTiles window : tiles.windows) {
      window.read(buffer);
    }
    return tiles;
  }
}
