/**
 * Runs tool loops through Envoy with the vendors' own Node clients: two at once, each interrupted, under a system prompt that changes
 * with every request: what loops.py does with the Python clients.
 *
 * Usage: loops.js THROUGH, a base URL; NODE_PATH leads to the clients. Prints a line for each request, and ends with 1 when any went
 * elsewhere than it should.
 */

"use strict";

const { OpenAI } = require("openai");
const Anthropic = require("@anthropic-ai/sdk");
const { GoogleGenAI } = require("@google/genai");

const [THROUGH] = process.argv.slice(2);
const SCHEMA = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const TOOL = { name: "get_weather", description: "Current weather of a city" };
const INTERRUPTED = "[Request interrupted by user for tool use]";
const KEY = { apiKey: "none", maxRetries: 0 };

const labels = async (request) => (await request.withResponse()).response.headers;
const said = (texts) => texts.map((content) => ({ role: "user", content }));

function openaiChat() {
  const client = new OpenAI({ baseURL: `${THROUGH}/v1`, ...KEY });
  const tools = [{ type: "function", function: { ...TOOL, parameters: SCHEMA } }];
  return {
    ask: (content, messages) =>
      labels(client.chat.completions.create({ model: "auto", messages: [{ role: "system", content }, ...messages], tools })),
    user: (text) => said([text]),
    step: (id, content, ...texts) => [
      { role: "assistant", tool_calls: [{ id, type: "function", function: { name: TOOL.name, arguments: "{}" } }] },
      { role: "tool", tool_call_id: id, content },
      ...said(texts),
    ],
  };
}

function openaiResponses() {
  const client = new OpenAI({ baseURL: `${THROUGH}/v1`, ...KEY });
  const tools = [{ type: "function", ...TOOL, parameters: SCHEMA, strict: true }];
  return {
    ask: (instructions, input) => labels(client.responses.create({ model: "auto", instructions, input, tools, store: false })),
    user: (text) => said([text]),
    step: (call_id, output, ...texts) => [
      { type: "function_call", call_id, name: TOOL.name, arguments: "{}" },
      { type: "function_call_output", call_id, output },
      ...said(texts),
    ],
  };
}

function anthropic() {
  const client = new Anthropic({ baseURL: THROUGH, ...KEY });
  const tools = [{ ...TOOL, input_schema: SCHEMA }];
  return {
    ask: (text, messages) => {
      const system = [{ type: "text", text, cache_control: { type: "ephemeral" } }];
      return labels(client.messages.create({ model: "auto", max_tokens: 100, system, messages, tools }));
    },
    user: (text) => said([text]),
    step: (id, content, ...texts) => [
      { role: "assistant", content: [{ type: "tool_use", id, name: TOOL.name, input: {} }] },
      { role: "user", content: [{ type: "tool_result", tool_use_id: id, content }, ...texts.map((text) => ({ type: "text", text }))] },
    ],
  };
}

function gemini() {
  const { models } = new GoogleGenAI({ apiKey: "none", httpOptions: { baseUrl: THROUGH } });
  const tools = [{ functionDeclarations: [{ ...TOOL, parametersJsonSchema: SCHEMA }] }];
  return {
    ask: async (systemInstruction, contents) => {
      const answer = await models.generateContent({ model: "auto", contents, config: { systemInstruction, tools } });
      return new Headers(answer.sdkHttpResponse.headers);
    },
    user: (text) => [{ role: "user", parts: [{ text }] }],
    step: (_id, sky, ...texts) => [
      { role: "model", parts: [{ functionCall: { name: TOOL.name, args: {} } }] },
      { role: "user", parts: [{ functionResponse: { name: TOOL.name, response: { sky } } }, ...texts.map((text) => ({ text }))] },
    ],
  };
}

let clock = 0;

/** One loop: its first question, a result, an interruption with another question, and that one's result. */
async function run(api, name, score, then) {
  const tiers = { 0.9: "small", 0.1: "large" };
  const messages = [];
  const went = async (what, reason, tier, more) => {
    messages.push(...more);
    const second = clock++;
    const two = (n) => String(n).padStart(2, "0");
    const time = `10:${two(Math.floor(second / 60))}:${two(second % 60)}`;
    const headers = await api.ask(`You are an agent. Request: req-${second}. Current time: 2026-10-09 ${time}.`, messages);
    const got = [headers.get("x-hybrid-llm-tier"), headers.get("x-hybrid-llm-reason")];
    const right = got[0] === tier && got[1] === reason;
    console.log([right ? "right" : "WRONG", `${name}: score ${score}`, what, ...got].join("\t"));
    return right;
  };
  const [first, second] = [tiers[score], tiers[then]];
  const asked = await went("question", "score", first, api.user(`score ${score} What is the weather in Oslo, asked by ${name} of Node?`));
  const result = await went("result", "affinity", first, api.step("call_1", "snow"));
  const beside = [INTERRUPTED, `score ${then} Leave that. Is Lima warm?`];
  const interrupted = await went("interruption", "score", second, api.step("call_2", "not run", ...beside));
  const last = await went("its result", "affinity", second, api.step("call_3", "fog"));
  return asked && result && interrupted && last;
}

async function main() {
  let right = true;
  for (const sdk of [openaiChat, openaiResponses, anthropic, gemini]) {
    const loops = [["0.9", "0.1"], ["0.1", "0.9"]].map(([score, then]) => run(sdk(), sdk.name, score, then));
    right = (await Promise.all(loops)).every(Boolean) && right;
  }
  process.exitCode = right ? 0 : 1;
}

main();
