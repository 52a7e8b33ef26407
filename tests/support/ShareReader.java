// A member of a share group (KIP-932), for which there is no Python client: reads a topic until it is killed.
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public class ShareReader {
    public static void main(String[] words) {
        Properties keys = new Properties();
        keys.put("bootstrap.servers", words[0]);
        keys.put("group.id", words[1]);
        var bytes = new ByteArrayDeserializer();
        try (var reader = new KafkaShareConsumer<byte[], byte[]>(keys, bytes, bytes)) {
            reader.subscribe(List.of(words[2]));
            while (true) {
                reader.poll(Duration.ofSeconds(1));
            }
        }
    }
}
