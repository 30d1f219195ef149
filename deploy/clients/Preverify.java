// Sends a preverify batch through the gateway (Java 11 or newer):
//     TOKEN=<SSO token> java Preverify.java batch.json

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;

public class Preverify {
    public static void main(String[] args) throws Exception {
        String koodrive = System.getenv().getOrDefault("KOODRIVE_URL", "http://127.0.0.1:8080");
        HttpRequest request = HttpRequest.newBuilder()
            .uri(URI.create(koodrive + "/koodrive/ose/v1/users/batchimport/preverify"))
            .header("Authorization", "Bearer " + System.getenv("TOKEN"))
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofFile(Path.of(args[0])))
            .build();
        HttpResponse<String> response =
            HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(response.statusCode() + " " + response.body());
        System.out.println("X-Traceid " + response.headers().firstValue("X-Traceid").orElse("-"));
    }
}
