// Runs a program compiled for wasm32-wasip1 in V8, the engine that Envoy runs the filter in.
import {readFile} from 'node:fs/promises';
import {argv} from 'node:process';
import {WASI} from 'node:wasi';

const wasi = new WASI({version: 'preview1', args: argv.slice(2), env: {}, preopens: {}});
const module = await WebAssembly.compile(await readFile(argv[2]));
// The filter's own imports are the proxy's: here nobody calls them. Nor its `_initialize`, which a program may not have.
const proxy = Object.fromEntries(
  WebAssembly.Module.imports(module).filter(({module}) => module === 'env').map(({name}) => [name, () => 0]));
const {exports} = await WebAssembly.instantiate(module, {...wasi.getImportObject(), env: proxy});
wasi.start({exports: {memory: exports.memory, _start: exports._start}});
