// A client made with irc-framework: writes the messages that it sees to standard output, and sends the lines of
// standard input, each a target and a text. `node irc_framework_client.mjs HOST PORT LOGIN`.
import { createInterface } from "node:readline";
import { Client } from "irc-framework";

const [host, port, password] = process.argv.slice(2);
const client = new Client();
client.on("join", ({ nick, channel }) => console.log(`${nick} joins ${channel}`));
client.on("message", ({ nick, message }) => nick === client.user.nick || console.log(`<${nick}> ${message}`));
client.connect({ host, port: Number(port), nick: "user", username: "user", gecos: "A user", password });
createInterface({ input: process.stdin }).on("line", (line) => {
  const [, target, text] = /^(\S+) (.*)$/.exec(line);
  client.say(target, text);
});
