/**
 * Drives the vendors' own Node clients through Envoy, and once more straight at the model, and compares what they parsed: what
 * drive.py does with the Python clients.
 *
 * Usage: drive.js THROUGH DIRECT, two base URLs; NODE_PATH leads to the clients. Prints a line for each case, and ends with 1 when
 * any two differ.
 */

"use strict";

const assert = require("node:assert");
const { isDeepStrictEqual } = require("node:util");
const { OpenAI } = require("openai");
const Anthropic = require("@anthropic-ai/sdk");
const { GoogleGenAI } = require("@google/genai");

const [THROUGH, DIRECT] = process.argv.slice(2);
const [SMALL, LARGE] = ["llama-3.1-8b", "gpt-4.1"];
const [EASY, HARD] = ["score 0.9 of an easy question", "score 0.1 of a hard question"];
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const IMAGE = `data:image/png;base64,${PIXEL}`;
const SCHEMA = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const TOOL = { name: "get_weather", description: "Current weather of a city" };
const KEY = { apiKey: "none", maxRetries: 0 };

/** A parsed answer as plain data; of a stream, all that it brought. */
async function plain(answer) {
  let parsed = await answer;
  if (typeof parsed[Symbol.asyncIterator] === "function") {
    const events = [];
    for await (const event of parsed) events.push(event);
    parsed = events;
  }
  // Google's client keeps the HTTP response beside what it parsed.
  return JSON.parse(JSON.stringify(parsed, (name, value) => (name === "sdkHttpResponse" ? undefined : value)));
}

/** Asks with a tool, sees it called, and asks with its result. */
async function toolLoop(ask, first, second, more) {
  const called = await ask(first, more);
  assert(JSON.stringify(called).includes("get_weather"));
  return [called, await ask(second, more)];
}

function openaiChat(base) {
  const client = new OpenAI({ baseURL: `${base}/v1`, ...KEY });
  return function* (model, query) {
    const ask = (messages, more) => plain(client.chat.completions.create({ model, messages, ...more }));
    const user = { role: "user", content: query };
    const image = { type: "image_url", image_url: { url: IMAGE } };
    const tools = [{ type: "function", function: { ...TOOL, parameters: SCHEMA } }];
    const call = { id: "call_1", type: "function", function: { name: TOOL.name, arguments: '{"city":"Oslo"}' } };
    const result = { role: "tool", tool_call_id: "call_1", content: "snow" };
    const second = [user, { role: "assistant", tool_calls: [call] }, result];
    yield ["plain", () => ask([user])];
    yield ["stream", () => ask([user], { stream: true })];
    yield ["multi-turn", () => ask([{ role: "system", content: "Be brief." }, user, { role: "assistant", content: "Yes." }, user])];
    yield ["image", () => ask([{ role: "user", content: [{ type: "text", text: query }, image] }])];
    yield ["tools", () => toolLoop(ask, [user], second, { tools })];
    yield ["tools, stream", () => toolLoop(ask, [user], second, { tools, stream: true })];
  };
}

function openaiResponses(base) {
  const client = new OpenAI({ baseURL: `${base}/v1`, ...KEY });
  return function* (model, query) {
    const ask = (input, more) => plain(client.responses.create({ model, input, ...more }));
    const user = { role: "user", content: query };
    const image = { type: "input_image", detail: "auto", image_url: IMAGE };
    const tools = [{ type: "function", ...TOOL, parameters: SCHEMA, strict: true }];
    const call = { type: "function_call", call_id: "call_1", name: TOOL.name, arguments: '{"city":"Oslo"}' };
    const second = [user, call, { type: "function_call_output", call_id: "call_1", output: "snow" }];
    const stored = async () => {
      const first = await ask(query);
      return [first, await ask("and the other one?", { previous_response_id: first.id })];
    };
    yield ["plain", () => ask(query)];
    yield ["stream", () => ask(query, { stream: true })];
    yield ["multi-turn", () => ask([user, { role: "assistant", content: "Yes." }, user], { instructions: "Be brief." })];
    yield ["stored", stored];
    yield ["image", () => ask([{ role: "user", content: [{ type: "input_text", text: query }, image] }])];
    yield ["tools", () => toolLoop(ask, [user], second, { tools })];
    yield ["tools, stream", () => toolLoop(ask, [user], second, { tools, stream: true })];
  };
}

function anthropic(base) {
  const client = new Anthropic({ baseURL: base, ...KEY });
  return function* (model, query) {
    const request = (messages, more) => ({ model, max_tokens: 100, messages, ...more });
    const ask = (messages, more) => plain(client.messages.create(request(messages, more)));
    const user = { role: "user", content: query };
    const image = { type: "image", source: { type: "base64", media_type: "image/png", data: PIXEL } };
    const tools = [{ ...TOOL, input_schema: SCHEMA }];
    const use = { type: "tool_use", id: "toolu_1", name: TOOL.name, input: { city: "Oslo" } };
    const result = { type: "tool_result", tool_use_id: "toolu_1", content: "snow" };
    const second = [user, { role: "assistant", content: [use] }, { role: "user", content: [result] }];
    const system = [{ type: "text", text: "Be brief.", cache_control: { type: "ephemeral" } }];
    yield ["plain", () => ask([user])];
    yield ["stream", () => ask([user], { stream: true })];
    yield ["stream helper", () => plain(client.messages.stream(request([user])).finalMessage())];
    yield ["multi-turn", () => ask([user, { role: "assistant", content: "Yes." }, user], { system })];
    yield ["image", () => ask([{ role: "user", content: [image, { type: "text", text: query }] }])];
    yield ["tools", () => toolLoop(ask, [user], second, { tools })];
    yield ["tools, stream", () => toolLoop(ask, [user], second, { tools, stream: true })];
  };
}

function gemini(base) {
  const { models } = new GoogleGenAI({ apiKey: "none", httpOptions: { baseUrl: base } });
  return function* (model, query) {
    const ask = (contents, { stream, ...config } = {}) =>
      plain((stream ? models.generateContentStream : models.generateContent).call(models, { model, contents, config }));
    const content = (role, ...parts) => ({ role, parts });
    const user = content("user", { text: query });
    const image = { inlineData: { mimeType: "image/png", data: PIXEL } };
    const tools = [{ functionDeclarations: [{ ...TOOL, parametersJsonSchema: SCHEMA }] }];
    const call = content("model", { functionCall: { name: TOOL.name, args: { city: "Oslo" } } });
    const result = content("user", { functionResponse: { name: TOOL.name, response: { sky: "snow" } } });
    yield ["plain", () => ask(query)];
    yield ["stream", () => ask(query, { stream: true })];
    yield ["multi-turn", () => ask([user, content("model", { text: "Yes." }), user], { systemInstruction: "Be brief." })];
    yield ["image", () => ask([content("user", image, { text: query })])];
    yield ["tools", () => toolLoop(ask, [user], [user, call, result], { tools })];
    yield ["tools, stream", () => toolLoop(ask, [user], [user, call, result], { tools, stream: true })];
  };
}

async function main() {
  let differ = 0;
  for (const sdk of [openaiChat, openaiResponses, anthropic, gemini]) {
    const [through, direct] = [sdk(THROUGH), sdk(DIRECT)];
    for (const [query, model] of [[EASY, SMALL], [HARD, LARGE]]) {
      // A query of its own for each client, since conversations that begin alike are taken for one.
      const asked = `${query} by ${sdk.name} of Node`;
      const [right, byLarge] = [[...direct(model, asked)], [...direct(LARGE, asked)]];
      for (const [index, [name, ask]] of [...through("auto", asked)].entries()) {
        // The router can't see images, and so they go to the large model unless the pair says otherwise.
        const want = await (name === "image" ? byLarge : right)[index][1]();
        const got = await ask();
        const same = isDeepStrictEqual(got, want);
        console.log([same ? "same" : "DIFFERENT", `${sdk.name}: ${query}`, name].join("\t"));
        if (!same) {
          console.log(JSON.stringify(got) + "\n" + JSON.stringify(want));
          differ += 1;
        }
      }
    }
  }
  process.exitCode = differ ? 1 : 0;
}

main();
