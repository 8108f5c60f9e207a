package peers;

import java.util.Locale;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.LongAdder;

/** How many payments are scored, on standard output as JSON lines, ten a second: what the benchmark reads. */
final class Progress {
  private final LongAdder scored = new LongAdder();
  private long told;

  Progress() {
    Executors.newSingleThreadScheduledExecutor(
            task -> {
              Thread thread = new Thread(task, "progress");
              thread.setDaemon(true);
              return thread;
            })
        .scheduleAtFixedRate(this::tell, 100, 100, TimeUnit.MILLISECONDS);
  }

  void scored() {
    scored.increment();
  }

  private void tell() {
    long now = scored.sum();
    if (now != told) {
      told = now;
      System.out.printf(Locale.ROOT, "{\"at_s\": %.3f, \"scored\": %d}%n", System.currentTimeMillis() / 1000.0, now);
    }
  }
}
