import { createInterface } from "node:readline";
import { Writable } from "node:stream";

/** Asks on the terminal, without an echo of the answer; `undefined` when standard input is no terminal. */
export function terminalPrompt(): ((question: string) => Promise<string>) | undefined {
  const { stdin, stderr } = process;
  if (!stdin.isTTY) return undefined;
  return (question) =>
    new Promise((resolve, reject) => {
      stderr.write(question);
      const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
      const lines = createInterface({ input: stdin, output: silent, terminal: true });
      lines.once("SIGINT", () => {
        lines.close();
        stderr.write("\n");
        reject(new Error("interrupted"));
      });
      lines.question("", (answer) => {
        lines.close();
        stderr.write("\n");
        resolve(answer);
      });
    });
}
