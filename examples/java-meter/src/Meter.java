import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.time.Instant;
import java.util.Locale;

/** Counts energy from the power it measures and keeps the sum over restarts and updates. The argument is the data folder. */
public final class Meter {
  private static final Duration INTERVAL = Duration.ofSeconds(1);

  private final Path file;
  private double wattHours;

  private Meter(Path folder) throws IOException {
    this.file = folder.resolve("energy");
    if (Files.exists(file)) wattHours = Double.parseDouble(Files.readString(file).split(" ")[0]);
  }

  public static void main(String[] args) throws IOException, InterruptedException {
    Meter meter = new Meter(Path.of(args[0]));
    System.out.printf(Locale.ROOT, "java-meter on Java %s, starting at %.3f Wh%n", Runtime.version(), meter.wattHours);
    Instant last = Instant.now();
    while (true) {
      Instant now = Instant.now();
      meter.count(Duration.between(last, now));
      last = now;
      Thread.sleep(INTERVAL.toMillis());
    }
  }

  private void count(Duration passed) throws IOException {
    wattHours += power() * passed.toMillis() / 3_600_000.0;
    Path draft = file.resolveSibling("energy.new");
    Files.writeString(draft, String.format(Locale.ROOT, "%.6f Wh at %s%n", wattHours, Instant.now()));
    Files.move(draft, file, StandardCopyOption.ATOMIC_MOVE);
  }

  /** Watts: a base load and what the processor's load adds to it. */
  private static double power() throws IOException {
    String load = Files.readString(Path.of("/proc/loadavg")).split(" ")[0];
    return 2.5 + 4.0 * Double.parseDouble(load);
  }
}
