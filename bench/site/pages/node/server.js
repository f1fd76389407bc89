// The page at /node: what the page at /fast does.
const { createHash, randomBytes, randomInt } = require("node:crypto");
const http = require("node:http");
const version = require("./version.js");

const routes = {
  "GET /node": (request, response) => response.end(`${version}\n`),
  "POST /node/echo": echo,
  "POST /node/upload": upload,
  "GET /node/download": download,
};

function echo(request, response) {
  if (request.headers["content-length"]) response.setHeader("Content-Length", request.headers["content-length"]);
  request.pipe(response);
}

async function upload(request, response) {
  const hash = createHash("sha256");
  for await (const part of request) hash.update(part);
  response.end(hash.digest("hex"));
}

// 40 random blocks, one each 50 ms, and their SHA-256 in the trailer X-Sha256.
async function download(request, response) {
  response.setHeader("Trailer", "X-Sha256");
  const hash = createHash("sha256");
  for (let i = 0; i < 40; i++) {
    const part = randomBytes(randomInt(1, 4097));
    hash.update(part);
    response.write(part);
    await new Promise((resume) => setTimeout(resume, 50));
  }
  response.addTrailers({ "X-Sha256": hash.digest("hex") });
  response.end();
}

const server = http.createServer((request, response) => {
  const path = request.url.split("?")[0];
  const answer = routes[`${request.method === "HEAD" ? "GET" : request.method} ${path}`];
  response.setHeader("X-Version", version);
  if (answer) return answer(request, response);
  response.statusCode = 404;
  response.end();
});

server.listen(process.env.PORT, "127.0.0.1");
process.on("SIGTERM", () => server.close());
