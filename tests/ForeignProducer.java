import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Apache Kafka's own producer: each line on stdin is a lot of records in JSON, each line printed the partition and offset of each of them. */
public final class ForeignProducer {
    public static void main(String[] arguments) throws Exception {
        ObjectMapper json = new ObjectMapper();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            System.out.println(json.writeValueAsString(sent(json.readTree(line))));
        }
    }

    private static List<long[]> sent(JsonNode lot) throws Exception {
        Properties settings = new Properties();
        lot.get("settings").fields().forEachRemaining(one -> settings.put(one.getKey(), one.getValue().asText()));
        String end = lot.get("end").asText();
        List<Future<RecordMetadata>> underWay = new ArrayList<>();
        List<long[]> placed = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            if (!end.isEmpty()) {
                producer.initTransactions();
                producer.beginTransaction();
            }
            for (JsonNode record : lot.get("records")) {
                underWay.add(producer.send(recordOf(lot.get("topic").asText(), record)));
            }
            producer.flush();
            for (Future<RecordMetadata> one : underWay) {
                placed.add(new long[] {one.get().partition(), one.get().offset()});
            }
            if (end.equals("commit")) {
                producer.commitTransaction();
            } else if (end.equals("abort")) {
                producer.abortTransaction();
            }
        }
        return placed;
    }

    private static ProducerRecord<byte[], byte[]> recordOf(String topic, JsonNode record) throws IOException {
        int partition = record.get("partition").asInt();
        long timestamp = record.get("timestamp_ms").asLong();
        ProducerRecord<byte[], byte[]> made = new ProducerRecord<>(
            topic, partition < 0 ? null : partition, timestamp == 0 ? null : timestamp, bytes(record.get("key")), bytes(record.get("value")));
        for (JsonNode header : record.get("headers")) {
            made.headers().add(header.get(0).asText(), bytes(header.get(1)));
        }
        return made;
    }

    /** What stands there in Base64; null stays null. */
    private static byte[] bytes(JsonNode text) throws IOException {
        return text.isNull() ? null : text.binaryValue();
    }
}
