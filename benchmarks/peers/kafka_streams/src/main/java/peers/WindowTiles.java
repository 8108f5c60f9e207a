package peers;

import java.nio.ByteBuffer;

/**
 * Count and money of one window, as tiles of one hop, oldest first. With k(x) = floor(x / hop) the window at time t holds the tiles
 * k(t - window) + 1 … k(t). Tiles without a payment take no space.
 */
final class WindowTiles {
  static final int TILE_BYTES = Integer.BYTES + Integer.BYTES + Long.BYTES;

  private final long hopMs;
  private final int span;
  private final int[] tiles;
  private final int[] counts;
  private final long[] cents;
  private int size;

  WindowTiles(Window window) {
    hopMs = window.hopMs();
    span = window.span();
    tiles = new int[span];
    counts = new int[span];
    cents = new long[span];
  }

  int size() {
    return size;
  }

  /** Counts a payment. One that is older than every tile that is still held is not counted. */
  void add(long timeMs, long amountCents) {
    int tile = tileOf(timeMs);
    if (size > 0 && tile <= tiles[size - 1] - span) {
      return;
    }
    forgetUpTo(tile - span);
    int at = size;
    while (at > 0 && tiles[at - 1] >= tile) { // payments are nearly in order: this looks at the last tile, or two
      at--;
    }
    if (at == size || tiles[at] != tile) {
      insert(at, tile);
    }
    counts[at]++;
    cents[at] += amountCents;
  }

  /** Writes count and mean amount of the window that ends at this time. */
  void features(long timeMs, float[] into, int at) {
    int newest = tileOf(timeMs);
    long count = 0;
    long sum = 0;
    for (int i = 0; i < size; i++) {
      if (tiles[i] > newest - span && tiles[i] <= newest) {
        count += counts[i];
        sum += cents[i];
      }
    }
    into[at] = count;
    into[at + 1] = count == 0 ? 0 : (float) ((double) sum / (100L * count));
  }

  void write(ByteBuffer to) {
    to.putShort((short) size);
    for (int i = 0; i < size; i++) {
      to.putInt(tiles[i]).putInt(counts[i]).putLong(cents[i]);
    }
  }

  void read(ByteBuffer from) {
    size = from.getShort();
    for (int i = 0; i < size; i++) {
      tiles[i] = from.getInt();
      counts[i] = from.getInt();
      cents[i] = from.getLong();
    }
  }

  private int tileOf(long timeMs) {
    return (int) Math.floorDiv(timeMs, hopMs);
  }

  private void forgetUpTo(int tile) {
    int gone = 0;
    while (gone < size && tiles[gone] <= tile) {
      gone++;
    }
    if (gone > 0) {
      size -= gone;
      move(gone, 0, size);
    }
  }

  private void insert(int at, int tile) {
    move(at, at + 1, size - at);
    tiles[at] = tile;
    counts[at] = 0;
    cents[at] = 0;
    size++;
  }

  private void move(int from, int to, int length) {
    System.arraycopy(tiles, from, tiles, to, length);
    System.arraycopy(counts, from, counts, to, length);
    System.arraycopy(cents, from, cents, to, length);
  }
}
