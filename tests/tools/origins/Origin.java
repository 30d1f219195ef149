import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import org.eclipse.jetty.http.HttpField;
import org.eclipse.jetty.io.Content;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.util.BufferUtil;
import org.eclipse.jetty.util.Callback;

/** Tells what request Jetty saw. */
public class Origin {
    public static void main(String[] arguments) throws Exception {
        Server server = new Server();
        ServerConnector connector = new ServerConnector(server);
        connector.setHost("127.0.0.1");
        connector.setPort(Integer.parseInt(arguments[0]));
        connector.setIdleTimeout(60_000);
        server.addConnector(connector);
        server.setHandler(new Handler.Abstract() {
            @Override
            public boolean handle(Request request, Response response, Callback callback) throws Exception {
                byte[] body = BufferUtil.toArray(Content.Source.asByteBuffer(request));
                String seen = String.join(":",
                        hex(request.getMethod()), hex(request.getHttpURI().getPathQuery()),
                        HexFormat.of().formatHex(body),
                        hex(request.getHeaders().get("Content-Type")), hex(request.getHeaders().get("X")));
                response.getHeaders().put(new HttpField("X-Seen", seen));
                Content.Sink.write(response, true, "ok", callback);
                return true;
            }
        });
        server.start();
        server.join();
    }

    private static String hex(String text) {
        return text == null ? "" : HexFormat.of().formatHex(text.getBytes(StandardCharsets.ISO_8859_1));
    }
}
