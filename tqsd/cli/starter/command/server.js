// Save this file while `tqsd dev` runs, and the new version serves.
const http = require("node:http");

const server = http.createServer((request, response) => {
  response.setHeader("Content-Type", "text/html; charset=utf-8");
  response.end("<!doctype html><title>It works</title><h1>It works</h1><p>Edit pages/@NAME@/server.js and save.</p>\n");
});

server.listen(process.env.PORT, "127.0.0.1");
process.on("SIGTERM", () => server.close());
