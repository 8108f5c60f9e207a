package peers;

import java.util.List;
import java.util.concurrent.TimeUnit;

/** A window, and the hop that it moves by. */
record Window(long lengthMs, long hopMs) {
  static final List<Window> ALL =
      List.of(
          new Window(TimeUnit.HOURS.toMillis(1), TimeUnit.MINUTES.toMillis(5)),
          new Window(TimeUnit.DAYS.toMillis(1), TimeUnit.HOURS.toMillis(1)),
          new Window(TimeUnit.DAYS.toMillis(7), TimeUnit.HOURS.toMillis(6)),
          new Window(TimeUnit.DAYS.toMillis(30), TimeUnit.DAYS.toMillis(1)));

  /** Tiles in the window. */
  int span() {
    return (int) (lengthMs / hopMs);
  }
}
