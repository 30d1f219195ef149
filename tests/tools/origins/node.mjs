// Tells what request Node saw.
import http from "node:http";

const hex = (text) => Buffer.from(text ?? "", "latin1").toString("hex");

const server = http.createServer(async (request, response) => {
  const pieces = [];
  try {
    for await (const piece of request) pieces.push(piece);
  } catch {
    // The body broke off: nobody is there to be told.
    response.destroy();
    return;
  }
  const { method, url, headers } = request;
  const x = Array.isArray(headers.x) ? headers.x[0] : headers.x;
  const fields = [hex(method), hex(url), Buffer.concat(pieces).toString("hex"), hex(headers["content-type"]), hex(x)];
  response.setHeader("X-Seen", fields.join(":"));
  response.end("ok");
});
server.keepAliveTimeout = 60_000;
server.listen(Number(process.argv[2]), "127.0.0.1");
