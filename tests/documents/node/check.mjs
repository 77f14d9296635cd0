// Reads an AsyncAPI document with the official parser: prints its faults, and ends with 1 if there are any.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const faults = diagnostics.filter((one) => one.severity === 0);
for (const one of faults) console.error(one.code, one.path.join("."), one.message);
if (faults.length || document === undefined) process.exit(1);
console.log(document.channels().all().length, document.messages().all().length);
