import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Locale;
import java.util.concurrent.locks.ReadWriteLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * Scores rows of text: java -Djava.library.path=. Score ARTIFACT &lt; rows &gt; predictions
 *
 * <p>Any Java from 8 on, by way of fmcompress_jni.c.
 */
public final class Score {
    private static final int BATCH = 1024;

    public static void main(String[] arguments) throws IOException {
        if (arguments.length != 1) {
            fail("usage: Score ARTIFACT < rows > predictions");
        }
        try (FmModel model = new FmModel(arguments[0])) {
            score(model, new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)));
        } catch (IllegalArgumentException error) {
            fail(error.getMessage());
        }
    }

    private static void score(FmModel model, BufferedReader lines) throws IOException {
        PrintStream output = new PrintStream(System.out, false, "UTF-8");
        int[] ids = new int[BATCH * model.ids()];
        double[] values = new double[BATCH * model.values()];
        int rows = 0;
        int number = 0;
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            number++;
            String[] words = line.trim().split("[,\\s]+");
            try {
                if (words.length != model.ids() + model.values()) {
                    throw new NumberFormatException();
                }
                for (int id = 0; id < model.ids(); id++) {
                    ids[rows * model.ids() + id] = Integer.parseInt(words[id]);
                }
                for (int value = 0; value < model.values(); value++) {
                    String word = words[model.ids() + value];
                    values[rows * model.values() + value] =
                            word.equalsIgnoreCase("nan") ? Double.NaN : Double.parseDouble(word);
                }
            } catch (NumberFormatException error) {
                throw new IllegalArgumentException(String.format(
                        "line %d: expected %d ids and %d values", number, model.ids(), model.values()));
            }
            if (++rows == BATCH) {
                print(output, model.predict(ids, values));
                rows = 0;
            }
        }
        int[] lastIds = Arrays.copyOf(ids, rows * model.ids());
        print(output, model.predict(lastIds, Arrays.copyOf(values, rows * model.values())));
    }

    private static void print(PrintStream output, float[] predictions) {
        for (float prediction : predictions) {
            output.printf(Locale.ROOT, "%.6f%n", prediction);
        }
        output.flush();
    }

    private static void fail(String message) {
        System.err.println("error: " + message);
        System.exit(2);
    }
}

/** An artifact that is open. Threads may share it; closing waits for those that are scoring. */
final class FmModel implements AutoCloseable {
    private static final int MESSAGE_BYTES = 512;

    static {
        System.loadLibrary("fmcompress_jni");
    }

    private final ReadWriteLock lock = new ReentrantReadWriteLock();
    private final int ids;
    private final int values;
    private long handle;

    FmModel(String path) {
        byte[] message = new byte[MESSAGE_BYTES];
        handle = open((path + "\0").getBytes(StandardCharsets.UTF_8), message);
        if (handle == 0) {
            throw new IllegalArgumentException(text(message));
        }
        ids = idCount(handle);
        values = valueCount(handle);
    }

    int ids() {
        return ids;
    }

    int values() {
        return values;
    }

    /** Returns the predictions of rows: ids() numbers of each in ids, values() of each in values. */
    float[] predict(int[] rowIds, double[] rowValues) {
        float[] predictions = new float[rowIds.length / ids];
        if (rowIds.length != predictions.length * ids || rowValues.length != predictions.length * values) {
            throw new IllegalArgumentException("ids and values are not of whole rows");
        }
        byte[] message = new byte[MESSAGE_BYTES];
        lock.readLock().lock();
        try {
            if (handle == 0) {
                throw new IllegalStateException("the model is closed");
            }
            if (!predict(handle, rowIds, rowValues, predictions, message)) {
                throw new IllegalArgumentException(text(message));
            }
        } finally {
            lock.readLock().unlock();
        }
        return predictions;
    }

    @Override
    public void close() {
        lock.writeLock().lock();
        try {
            close(handle);
            handle = 0;
        } finally {
            lock.writeLock().unlock();
        }
    }

    private static String text(byte[] message) {
        int end = 0;
        while (end < message.length && message[end] != 0) {
            end++;
        }
        return new String(message, 0, end, StandardCharsets.UTF_8);
    }

    private static native long open(byte[] path, byte[] message);

    private static native void close(long handle);

    private static native int idCount(long handle);

    private static native int valueCount(long handle);

    private static native boolean predict(
            long handle, int[] ids, double[] values, float[] predictions, byte[] message);
}
