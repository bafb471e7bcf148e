import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.StreamWriteFeature;
import io.vertx.core.AbstractVerticle;
import io.vertx.core.DeploymentOptions;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import io.vertx.core.VertxOptions;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpServerOptions;
import io.vertx.core.http.HttpServerRequest;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/**
 * Vert.x in front of Maven's onnxruntime: the Open Inference Protocol in JSON and with binary
 * tensors, for models with one input x and one output y of float32.
 *
 * <p>Each worker is a verticle with its event loop and its sessions. A run takes some microseconds,
 * so it is made on the loop.
 */
public final class Peer extends AbstractVerticle {
  private static final String LENGTH = "Inference-Header-Content-Length";
  private static final JsonFactory JSON =
      JsonFactory.builder()
          .enable(StreamReadFeature.USE_FAST_DOUBLE_PARSER)
          .enable(StreamReadFeature.USE_FAST_BIG_NUMBER_PARSER)
          .enable(StreamWriteFeature.USE_FAST_DOUBLE_WRITER)
          .build();

  private final OrtEnvironment env = OrtEnvironment.getEnvironment();
  private final Map<String, OrtSession> sessions = new HashMap<>();

  /** One request: the shape of x and its numbers, as many as size says. */
  private static final class Request {
    long[] shape = {};
    float[] data = {};
    int size;
  }

  public static void main(String[] args) {
    int workers = Integer.parseInt(System.getenv("PEER_WORKERS"));
    Vertx vertx = Vertx.vertx(new VertxOptions().setEventLoopPoolSize(workers));
    vertx
        .deployVerticle(Peer::new, new DeploymentOptions().setInstances(workers))
        .onFailure(
            e -> {
              e.printStackTrace();
              System.exit(1);
            });
  }

  @Override
  public void start(Promise<Void> started) throws OrtException {
    OrtSession.SessionOptions options = new OrtSession.SessionOptions();
    options.setIntraOpNumThreads(Integer.parseInt(System.getenv("PEER_INTRA")));
    options.setInterOpNumThreads(1);
    options.addConfigEntry("session.intra_op.allow_spinning", "0");
    for (String name : new String[] {"small", "image"}) {
      sessions.put(name, env.createSession(System.getenv("PEER_MODELS") + "/" + name + ".onnx", options));
    }
    vertx
        .createHttpServer(new HttpServerOptions().setTcpNoDelay(true))
        .requestHandler(request -> request.body().onSuccess(body -> answer(request, body)))
        .listen(Integer.parseInt(System.getenv("PEER_HTTP")), "127.0.0.1")
        .<Void>mapEmpty()
        .onComplete(started);
  }

  private void answer(HttpServerRequest request, Buffer body) {
    String[] path = request.path().split("/"); // "", v2, models, NAME, infer
    OrtSession session = path.length == 5 ? sessions.get(path[3]) : null;
    if (session == null) {
      request.response().setStatusCode(request.path().equals("/v2/health/ready") ? 200 : 404).end();
      return;
    }
    try {
      String length = request.getHeader(LENGTH);
      int head = length == null ? body.length() : Integer.parseInt(length);
      byte[] bytes = body.getBytes();
      Request given = read(bytes, head);
      FloatBuffer x =
          length == null
              ? FloatBuffer.wrap(given.data, 0, given.size)
              : ByteBuffer.wrap(bytes, head, bytes.length - head).slice().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
      try (OnnxTensor tensor = OnnxTensor.createTensor(env, x, given.shape);
          OrtSession.Result result = session.run(Map.of("x", tensor))) {
        OnnxTensor y = (OnnxTensor) result.get(0);
        float[] numbers = new float[(int) y.getInfo().getNumElements()];
        y.getFloatBuffer().get(numbers);
        reply(request, path[3], y.getInfo().getShape(), numbers, length != null);
      }
    } catch (OrtException | IOException | RuntimeException e) {
      request.response().setStatusCode(400).end(String.valueOf(e.getMessage()));
    }
  }

  /** Reads the first input of a request's JSON, as a stream and without objects in between. */
  private static Request read(byte[] bytes, int length) throws IOException {
    Request r = new Request();
    try (JsonParser p = JSON.createParser(bytes, 0, length)) {
      for (JsonToken t = p.nextToken(); t != null; t = p.nextToken()) {
        if (t != JsonToken.FIELD_NAME) {
          continue;
        }
        String name = p.currentName();
        if (name.equals("shape") && p.nextToken() == JsonToken.START_ARRAY) {
          long[] shape = new long[8];
          int n = 0;
          while (p.nextToken() != JsonToken.END_ARRAY) {
            shape[n++] = p.getLongValue();
          }
          r.shape = Arrays.copyOf(shape, n);
          // Where the shape comes first, the numbers need no growing.
          r.data = new float[(int) Arrays.stream(r.shape).reduce(1, Math::multiplyExact)];
        } else if (name.equals("data") && p.nextToken() == JsonToken.START_ARRAY) {
          while (p.nextToken() != JsonToken.END_ARRAY) {
            if (r.size == r.data.length) {
              r.data = Arrays.copyOf(r.data, Math.max(64, 2 * r.size));
            }
            r.data[r.size++] = p.getFloatValue();
          }
        }
      }
    }
    return r;
  }

  private static void reply(HttpServerRequest request, String model, long[] shape, float[] y, boolean binary) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream(512);
    try (JsonGenerator g = JSON.createGenerator(out)) {
      g.writeStartObject();
      g.writeStringField("model_name", model);
      g.writeArrayFieldStart("outputs");
      g.writeStartObject();
      g.writeStringField("name", "y");
      g.writeStringField("datatype", "FP32");
      g.writeFieldName("shape");
      g.writeArray(shape, 0, shape.length);
      if (binary) {
        g.writeObjectFieldStart("parameters");
        g.writeNumberField("binary_data_size", 4 * y.length);
        g.writeEndObject();
      } else {
        g.writeArrayFieldStart("data");
        for (float v : y) {
          g.writeNumber(v);
        }
        g.writeEndArray();
      }
      g.writeEndObject();
      g.writeEndArray();
      g.writeEndObject();
    }
    Buffer body = Buffer.buffer(out.toByteArray());
    request.response().putHeader("Content-Type", binary ? "application/octet-stream" : "application/json");
    if (binary) {
      request.response().putHeader(LENGTH, Integer.toString(body.length()));
      ByteBuffer raw = ByteBuffer.allocate(4 * y.length).order(ByteOrder.LITTLE_ENDIAN);
      raw.asFloatBuffer().put(y);
      body.appendBytes(raw.array());
    }
    request.response().end(body);
  }
}
