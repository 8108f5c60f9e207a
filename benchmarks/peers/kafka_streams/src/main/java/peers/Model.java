package peers;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Map;
import java.util.Set;

/** The ONNX model: one session, which all stream threads may ask at once. */
final class Model implements AutoCloseable {
  private static final String INPUT = "features";
  private static final String OUTPUT = "probabilities";

  private final OrtEnvironment environment = OrtEnvironment.getEnvironment();
  private final OrtSession session;

  Model(String file) throws OrtException {
    OrtSession.SessionOptions options = new OrtSession.SessionOptions();
    options.setIntraOpNumThreads(1); // a single row: the stream threads are what runs in parallel
    session = environment.createSession(file, options);
  }

  /** Room for one vector, to be used by one thread, again and again. */
  Input input(int width) {
    try {
      return new Input(width);
    } catch (OrtException e) {
      throw new IllegalStateException("no room for a vector", e);
    }
  }

  @Override
  public void close() throws OrtException {
    session.close();
  }

  final class Input implements AutoCloseable {
    private final FloatBuffer buffer;
    private final OnnxTensor tensor; // over the buffer's own memory: nothing is copied or allocated for a payment

    private Input(int width) throws OrtException {
      buffer = ByteBuffer.allocateDirect(width * Float.BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer();
      tensor = OnnxTensor.createTensor(environment, buffer, new long[] {1, width});
    }

    /** The probability of fraud. */
    float score(float[] vector) {
      buffer.put(0, vector);
      try (OrtSession.Result result = session.run(Map.of(INPUT, tensor), Set.of(OUTPUT))) {
        return ((OnnxTensor) result.get(0)).getFloatBuffer().get(1);
      } catch (OrtException e) {
        throw new IllegalStateException("the model cannot score", e);
      }
    }

    @Override
    public void close() {
      tensor.close();
    }
  }
}
