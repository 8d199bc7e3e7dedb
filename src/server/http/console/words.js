// Every word of the page, in English and in Chinese, and in English of one. `{x}` is filled in.

const WORDS = {
  skip: ["Skip to the content", "跳到正文"],
  search: ["Search", "搜索"],
  generate: ["Generate", "生成"],
  map: ["Map", "地图"],
  import: ["Import", "导入"],
  banks: ["Banks", "问题库"],
  bank: ["Bank", "问题库"],
  noBank: ["no bank", "暂无问题库"],
  forgetKey: ["Forget key", "清除密钥"],
  other: ["中文", "English"],

  yourQuestion: ["Your question", "要搜索的问题"],
  askPlaceholder: ["Ask as a customer would", "像客户那样提问"],
  way: ["How to search", "搜索方式"],
  direct: ["Direct", "直接搜索"],
  expanded: ["Expanded", "扩展搜索"],
  hits: ["Hits", "条数"],
  phrasesMost: ["Phrases", "问法数"],
  leastScore: ["Cosine from", "最低相似度"],
  any: ["any", "不限"],
  byFaq: ["One hit a FAQ", "每个 FAQ 只留一条"],
  phrases: ["Phrases", "问法"],
  phrasesHint: ["Choose one to see what it found.", "点选一种问法，看它找到了什么。"],
  itself: ["as you asked it", "原问题"],
  foundCount: ["{n} hits", "{n} 条", "1 hit"],
  nothingFound: ["Nothing was found. Lower the least cosine, or ask in other words.", "没有找到结果。请降低最低相似度，或换个问法。"],
  nothingInBank: ["This bank is empty.", "这个问题库是空的。"],
  importSome: ["Import questions", "导入问题"],
  tryOne: ["Questions of this bank, to try", "试试库里的问题"],
  foundBy: ["found by “{phrase}”", "由“{phrase}”找到"],
  cosine: ["cosine {x}", "相似度 {x}"],
  probability: ["likely right", "匹配概率"],
  more: ["Show all", "展开"],
  less: ["Show less", "收起"],
  searching: ["Searching …", "正在搜索……"],

  toVary: ["The question to vary", "要改写的问题"],
  varyPlaceholder: ["A question to reword", "输入要改写的问题"],
  best: ["Best", "取前"],
  ofSamples: ["of samples", "采样数"],
  temperature: ["Temperature", "温度"],
  copyPenalty: ["Copy penalty", "照抄惩罚"],
  seed: ["Seed", "随机种子"],
  generating: ["Writing …", "正在生成……"],
  writtenCount: ["{n} questions", "{n} 个问题", "1 question"],
  nothingWritten: ["Nothing new was written. Raise the temperature, or draw more samples.", "没有写出新的问法。请提高温度，或增加采样数。"],
  generateHint: ["The decoder writes questions that mean the same, best first. A copy penalty of 1 to 3 asks for other words.",
    "解码器会写出意思相同的问题，最好的排在前面。照抄惩罚取 1 到 3 时，用词变化更大。"],
  searchThis: ["Search this", "搜索此问题"],
  copy: ["Copy", "复制"],
  copied: ["Copied", "已复制"],

  colourBy: ["Colour by", "着色"],
  byFaqId: ["FAQ", "FAQ"],
  points: ["Points", "点数"],
  nearFrom: ["Near-duplicates from", "近似重复阈值"],
  draw: ["Draw", "绘制"],
  drawing: ["Drawing the map …", "正在绘制地图……"],
  mapCount: ["{n} of {all} questions", "{all} 个问题中的 {n} 个"],
  mapAll: ["{n} questions", "{n} 个问题", "1 question"],
  mapKept: ["{x} of each point’s nearest neighbours are beside it", "每个点的近邻有 {x} 仍在身边"],
  mapKeys: ["Drag to pan, pinch or Ctrl + wheel to zoom. Keys: arrows move from point to point, + − 0 zoom, Enter searches.",
    "拖动平移，双指或 Ctrl + 滚轮缩放。键盘：方向键在点间移动，+ − 0 缩放，回车搜索。"],
  mapLabel: ["Map of bank {bank}: {n} points", "问题库 {bank} 的地图：{n} 个点"],
  zoomIn: ["Zoom in", "放大"],
  zoomOut: ["Zoom out", "缩小"],
  zoomAll: ["Show all", "显示全部"],
  twoAnswers: ["Two answers to one question", "同一问题、两种答案"],
  twinsNone: ["No two questions of different FAQs are nearly the same.", "没有发现分属不同 FAQ 却几乎相同的问题。"],
  twinsSome: ["Questions of different FAQs that are nearly the same.", "下列问题几乎相同，却分属不同的 FAQ。"],
  twinsFine: ["{n} pairs within one FAQ are fine.", "另有 {n} 对同属一个 FAQ，属于正常情况。", "1 pair within one FAQ is fine."],
  twinsLooked: ["Looked up for {n} points only, while the bank’s graph is being made.", "图索引仍在构建，只查了 {n} 个点的近似重复。"],
  andMore: ["and {n} more", "另有 {n} 项"],
  noLabel: ["none", "无"],
  emptyMap: ["There is nothing to draw: the bank is empty.", "问题库是空的，没有可绘制的内容。"],

  importInto: ["Import into", "导入到"],
  importLead: ["A CSV or TSV file with a header. Columns named id, question or text, answer and faq_id are recognised; any other becomes metadata to filter by. A question without an id gets one from its text, so a file can be imported twice.",
    "带表头的 CSV 或 TSV 文件。可识别 id、question 或 text、answer、faq_id 列，其他列作为可筛选的元数据。没有 id 的问题按其文本生成 id，因此同一文件可以重复导入。"],
  chooseFile: ["Choose a file", "选择文件"],
  orDrop: ["or drop it here", "或拖放到这里"],
  preview: ["The first lines", "前几行"],
  fileAbout: ["{name} · {bytes} · {encoding}, separated by {separator}", "{name} · {bytes} · {encoding}，以{separator}分隔"],
  comma: ["commas", "逗号"],
  tab: ["tabs", "制表符"],
  semicolon: ["semicolons", "分号"],
  asId: ["id", "id"],
  asText: ["question", "问题"],
  asFaq: ["FAQ id", "FAQ id"],
  asAnswer: ["answer", "答案"],
  asMetadata: ["metadata", "元数据"],
  asNothing: ["leave out", "忽略"],
  columnIs: ["Column {name} is", "列 {name} 作为"],
  needsText: ["Choose the column that holds the questions.", "请指定哪一列是问题。"],
  twice: ["Two columns are the {what}; choose one.", "有两列都是“{what}”，请只选一列。"],
  needsBank: ["Make a bank first.", "请先新建问题库。"],
  start: ["Import", "开始导入"],
  progress: ["Progress", "进度"],
  cancel: ["Cancel", "取消"],
  resume: ["Go on", "继续"],
  another: ["Import another file", "导入另一个文件"],
  sent: ["{written} written, {rate} a second, {left} left", "已写入 {written} 条，每秒 {rate} 条，剩余 {left}"],
  done: ["Done: {inserted} new, {updated} replaced, {failed} left out, in {time}.", "完成：新增 {inserted} 条，替换 {updated} 条，略过 {failed} 条，用时 {time}。"],
  cancelled: ["Cancelled: {inserted} new, {updated} replaced. What was written stays.", "已取消：新增 {inserted} 条，替换 {updated} 条。已写入的内容会保留。"],
  paused: ["Stopped at line {line}. What was written is safe.", "停在第 {line} 行。已写入的内容不会丢失。"],
  waiting: ["The server is busy; trying again …", "服务器繁忙，正在重试……"],
  leftOut: ["Left out", "略过的行"],
  leftOutCount: ["{n} lines were left out", "略过了 {n} 行", "1 line was left out"],
  line: ["Line", "行"],
  reason: ["Reason", "原因"],
  saveList: ["Save the list", "保存清单"],
  badFile: ["This file cannot be read", "无法读取这个文件"],
  isEmpty: ["It holds no line.", "文件里没有内容。"],
  onlyHeader: ["It holds a header and nothing else.", "文件只有表头，没有数据。"],
  openQuote: ["The quote that opens in line {line} never closes.", "第 {line} 行的引号没有闭合。"],
  notText: ["It is not text in UTF-8, UTF-16 or GB 18030.", "它不是 UTF-8、UTF-16 或 GB 18030 编码的文本。"],
  manyCells: ["expected at most {most} columns, received {n}", "最多 {most} 列，实际有 {n} 列"],
  blankText: ["expected a question, received none", "问题为空"],
  longText: ["{what}: expected at most {most} bytes, received {n}", "{what}：最多 {most} 字节，实际 {n} 字节"],
  badId: ["id: expected 1 to 512 bytes without control characters", "id：须为 1 到 512 字节，且不含控制字符"],
  manyValues: ["metadata: expected at most 64 values, received {n}", "元数据：最多 64 项，实际 {n} 项"],

  newBank: ["New bank", "新建问题库"],
  noBanks: ["There is no bank yet. Make one, then import questions.", "还没有问题库。先新建一个，再导入问题。"],
  name: ["Name", "名称"],
  nameHint: ["Letters, digits, - _ and ., at most 64; not starting with a dot.", "字母、数字、- _ 和 .，最多 64 个字符，不能以点开头。"],
  description: ["Description", "说明"],
  quantisation: ["Vectors in the graph", "图索引中的向量"],
  int8: ["8 bits: smallest", "8 位：最省内存"],
  f16: ["16 bits", "16 位"],
  f32: ["32 bits: as they are", "32 位：原样"],
  create: ["Create", "新建"],
  questions: ["questions", "问题"],
  faqs: ["FAQs", "FAQ"],
  onDisk: ["on disk", "磁盘"],
  inMemory: ["in memory", "内存"],
  inGraph: ["in graphs", "已建图"],
  vectors: ["vectors", "向量"],
  width: ["{n} wide, {bits} bits in graphs", "{n} 维，图索引中 {bits} 位"],
  modelOf: ["model", "模型"],
  healthy: ["healthy", "正常"],
  notOpen: ["not opened yet", "尚未打开"],
  linking: ["{n} compared one by one", "{n} 条逐一比较"],
  foreign: ["of another model", "由其他模型编码"],
  damaged: ["{n} damaged graphs, being made again", "{n} 个图已损坏，正在重建", "1 damaged graph, being made again"],
  details: ["Details", "详情"],
  use: ["Search it", "搜索"],
  serverModel: ["The model is {fingerprint}, {width} wide. Its cache knew {hits} of {all} texts.", "模型 {fingerprint}，{width} 维。向量缓存命中 {hits} / {all} 条文本。"],
  bankCount: ["{n} banks", "{n} 个问题库", "1 bank"],

  keyTitle: ["This server asks for a key", "此服务器需要密钥"],
  keyHint: ["It is kept for this tab only, and sent to this server only.", "密钥只在此标签页中保存，只发送给此服务器。"],
  apiKey: ["API key", "API 密钥"],
  useKey: ["Use it", "使用"],

  roundTrip: ["{ms} round trip", "往返 {ms}"],
  queue: ["queue", "排队"],
  tokenise: ["tokenise", "分词"],
  infer: ["encode", "编码"],
  write: ["write", "生成"],
  look: ["search", "检索"],
  rest: ["transfer", "传输"],

  INVALID_ARGUMENT: ["The server refuses this", "服务器拒绝了此请求"],
  OUT_OF_RANGE: ["The server refuses this", "服务器拒绝了此请求"],
  NOT_FOUND: ["It is not there", "没有找到"],
  ALREADY_EXISTS: ["It is there already", "已经存在"],
  FAILED_PRECONDITION: ["This cannot be done now", "当前无法执行"],
  RESOURCE_EXHAUSTED: ["The server is busy", "服务器繁忙"],
  UNAVAILABLE: ["The server cannot do this now", "服务器暂时不可用"],
  DEADLINE_EXCEEDED: ["It took too long", "超时"],
  UNAUTHENTICATED: ["The key is missing or wrong", "密钥缺失或错误"],
  PERMISSION_DENIED: ["This key may not do that", "此密钥没有权限"],
  DATA_LOSS: ["Data on the server is damaged", "服务器上的数据已损坏"],
  UNREACHABLE: ["The server does not answer", "服务器没有响应"],
  unreachableHint: ["Is it running? Try again in a moment.", "它在运行吗？请稍后再试。"],
  FAILED: ["It failed", "操作失败"],
  tryAgain: ["Try again", "重试"],
};

let place = 0; // among the words: 0 English, 1 Chinese

/** The language: "en" or "zh". */
export const language = () => ["en", "zh"][place];

/** Takes a language, or the browser's. */
export function speak(wanted) {
  place = wanted.toLowerCase().startsWith("zh") ? 1 : 0;
  document.documentElement.lang = ["en", "zh-Hans"][place];
}

/** A word, filled in. */
export function word(key, values = {}) {
  const words = WORDS[key] ?? [key, key];
  const text = (place === 0 && values.n === "1" && words[2]) || words[place];
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Whether there is such a word. */
export const known = (key) => key in WORDS;

/** Puts the words of the language into the page. */
export function translate(root = document) {
  const attributes = { placeholder: "placeholder", label: "aria-label" };
  root.querySelectorAll("[data-word]").forEach((node) => { node.textContent = word(node.dataset.word); });
  for (const [data, attribute] of Object.entries(attributes)) {
    root.querySelectorAll(`[data-${data}]`).forEach((node) => node.setAttribute(attribute, word(node.dataset[data])));
  }
}
