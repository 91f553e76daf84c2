// The application behind Socket.IO: what is sent to a user goes to that user's sockets, and recovery is on.
const fs = require("fs");
const https = require("https");
const { Server } = require("socket.io");

const [port, certificate, key, pingSeconds] = process.argv.slice(2);
const server = https.createServer({
  cert: fs.readFileSync(certificate), key: fs.readFileSync(key), minVersion: "TLSv1.3",
});
const io = new Server(server, {
  transports: ["websocket"],
  pingInterval: Number(pingSeconds) * 1000,
  pingTimeout: 20000,
  connectionStateRecovery: { maxDisconnectionDuration: 600000 },
});
io.on("connection", (socket) => {
  socket.join("u/" + socket.handshake.auth.user);
  socket.on("send", (to, text, done) => { io.to("u/" + to).emit("message", text); done(); });
  socket.on("join", (room, done) => { socket.join("r/" + room); done(); });
  socket.on("say", (room, text, done) => { socket.to("r/" + room).emit("message", text); done(); });
});
server.listen(Number(port), "0.0.0.0");
