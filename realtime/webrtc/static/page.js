// The page: camera in, drawing back.

import { ask, Keeper, measured, newPeer, offerOf, preferCodec, token, whenLost } from "./link.js";
import { fill, SettingsForm } from "./settings.js";
import { Recorder, save, Stage } from "./stage.js";
import { cameraTrouble, ServerTrouble } from "./words.js";

const $ = (id) => document.getElementById(id);
const NO_SOUND = "none";

const stage = new Stage();
const recorder = new Recorder();
const form = new SettingsForm((wanted) => send({ set: wanted }));
const keeper = new Keeper(connect, tell);
let media = null, peer = null, channel = null, session = null, watchPath = null, serverFigures = {}, paused = false, layoutBefore = null;
token();

function tell(text, trouble = false) {
  $("status").textContent = text;
  $("status").dataset.kind = trouble ? "trouble" : "";
}

function send(message) {
  if (channel && channel.readyState === "open") channel.send(JSON.stringify(message));
}

// -- camera and microphone --

async function openMedia() {
  const camera = $("cameras").value, microphone = $("microphones").value;
  const video = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 }, ...(camera ? { deviceId: { exact: camera } } : { facingMode: "user" }) };
  const audio = microphone && microphone !== NO_SOUND ? { deviceId: { exact: microphone } } : false;
  if (!navigator.mediaDevices) throw new DOMException("", "SecurityError");
  const stream = await navigator.mediaDevices.getUserMedia({ video, audio });
  stream.getVideoTracks()[0].addEventListener("ended", () => { stop(); tell("The camera was taken away. Press start when it is back.", true); });
  stage.show(stage.camera, stream);
  await listDevices(stream);
  return stream;
}

async function listDevices(stream) {
  if (!navigator.mediaDevices || !navigator.mediaDevices.enumerateDevices) return;
  const devices = await navigator.mediaDevices.enumerateDevices();
  const of = (kind, word) => devices.filter((one) => one.kind === kind && one.deviceId).map((one, index) => [one.deviceId, one.label || `${word} ${index + 1}`]);
  const used = stream && stream.getVideoTracks()[0].getSettings().deviceId;
  fill($("cameras"), of("videoinput", "Camera"), used || $("cameras").value);
  fill($("microphones"), [[NO_SOUND, "No sound"], ...of("audioinput", "Microphone")], $("microphones").value || NO_SOUND);
}

// -- connection --

async function connect(lost) {
  drop();
  tell("Connecting…");
  const mine = (peer = await newPeer());
  const video = mine.addTransceiver(media.getVideoTracks()[0], { direction: "sendrecv", streams: [media] });
  preferCodec(video);
  for (const track of media.getAudioTracks()) mine.addTransceiver(track, { direction: "sendonly", streams: [media] });
  mine.addEventListener("track", (event) => event.track.kind === "video" && stage.show(stage.drawing, new MediaStream([event.track])));
  const control = (channel = mine.createDataChannel("control"));
  control.addEventListener("message", (event) => heard(JSON.parse(event.data)));
  whenLost(mine, () => peer === mine && lost());
  control.addEventListener("close", () => peer === mine && mine.connectionState !== "connected" && lost());
  const body = JSON.stringify({ type: "offer", sdp: await offerOf(mine) });
  const answer = await (await ask("/offer", { method: "POST", body, headers: { "Content-Type": "application/json" } })).json();
  if (peer !== mine) return;
  [session, watchPath] = [answer.session, answer.watch];
  await mine.setRemoteDescription({ type: "answer", sdp: answer.sdp });
  await connected(mine);
  if (video.receiver) video.receiver.jitterBufferTarget = 0;
  if (peer === mine) tell("You are being drawn.");
}

function connected(mine) {
  return new Promise((resolve, reject) => {
    const look = () => {
      if (mine.connectionState === "connected") resolve();
      if (mine.connectionState === "failed" || mine.connectionState === "closed") reject(new ServerTrouble(0));
    };
    mine.addEventListener("connectionstatechange", look);
    setTimeout(() => reject(new ServerTrouble(0)), 12_000);
    look();
  });
}

function heard(message) {
  if (message.choices) form.offer(message.choices);
  if (message.settings) {
    form.show(message.settings);
    paused = message.settings.paused;
    $("pause").setAttribute("aria-pressed", String(paused));
    $("pause").textContent = paused ? "Go on" : "Pause";
    running(true);
  }
  if (message.figures) {
    serverFigures = message.figures;
    if (message.figures.quality) sendAsWanted(message.figures.quality);
  }
  if (message.error) tell(message.error, true);
}

// A busy server draws smaller and fewer pictures for a while: those that it would pass over are not sent.
function sendAsWanted({ scale, fps }) {
  const sender = peer && peer.getSenders().find((one) => one.track && one.track.kind === "video");
  if (!sender || !sender.getParameters) return;
  const wanted = sender.getParameters();
  const encoding = wanted.encodings && wanted.encodings[0];
  if (!encoding || (encoding.maxFramerate || null) === fps && (encoding.scaleResolutionDownBy || 1) === 1 / scale) return;
  if (fps) encoding.maxFramerate = fps;
  else delete encoding.maxFramerate;
  encoding.scaleResolutionDownBy = 1 / scale;
  sender.setParameters(wanted).catch(() => {});
}

function drop() {
  const old = peer;
  peer = channel = null;
  if (old) old.close();
  if (session) ask(session, { method: "DELETE", keepalive: true }).catch(() => {});
  session = watchPath = null;
}

function running(on) {
  for (const id of ["pause", "record", "snapshot", "vector", "share"]) $(id).disabled = !on;
  form.enable(on);
}

// -- what the buttons do --

async function start() {
  $("start").textContent = "Stop";
  try {
    tell("Asking for the camera…");
    media = await openMedia();
  } catch (error) {
    stop();
    tell(cameraTrouble(error), true);
    return;
  }
  await keeper.start();
}

function stop() {
  keeper.stop();
  record(false);
  drop();
  if (media) media.getTracks().forEach((track) => track.stop());
  media = null;
  stage.show(stage.camera, null);
  stage.show(stage.drawing, null);
  running(false);
  $("start").textContent = "Start";
  $("figures").textContent = "";
  tell("Press start, allow the camera, and be drawn.");
}

function record(on) {
  if (on && stage.drawing.srcObject) recorder.start([stage.drawing.srcObject, new MediaStream(media.getAudioTracks())]);
  else recorder.stop();
  $("record").setAttribute("aria-pressed", String(recorder.on));
  $("record").textContent = recorder.on ? "Stop recording" : "Record";
}

async function reopen() {
  if (!media) return;
  media.getTracks().forEach((track) => track.stop());
  try {
    media = await openMedia();
    await keeper.start();
  } catch (error) {
    stop();
    tell(cameraTrouble(error), true);
  }
}

function choose(view) {
  stage.view(view);
  // Photo and drawing lie on each other only when the drawing stays where the face is.
  if (view === "split" || view === "beside") {
    layoutBefore = layoutBefore || $("layout").value;
    send({ set: { layout: "inplace" } });
  } else if (layoutBefore) {
    send({ set: { layout: layoutBefore } });
    layoutBefore = null;
  }
}

async function figures() {
  const mine = peer;
  if (!mine || mine.connectionState !== "connected") return;
  const { roundTrip, fps } = await measured(mine);
  const told = [];
  if (fps !== null) told.push(`${Math.round(fps)} pictures a second`);
  if (serverFigures.latency_ms !== undefined) told.push(`drawn in ${serverFigures.latency_ms} ms`);
  if (roundTrip !== null) told.push(`network ${Math.max(1, Math.round(roundTrip * 1000))} ms`);
  if (serverFigures.engine) told.push(serverFigures.engine);
  if (serverFigures.quality && (serverFigures.quality.fps || serverFigures.quality.scale < 1)) told.push("the server is busy");
  if (serverFigures.watchers > 1) told.push(`${serverFigures.watchers - 1} watching`);
  $("figures").textContent = told.join("  ·  ");
}

$("start").addEventListener("click", () => (media ? stop() : start()));
$("pause").addEventListener("click", () => send({ set: { paused: !paused } }));
$("record").addEventListener("click", () => record(!recorder.on));
$("snapshot").addEventListener("click", async () => save(await stage.picture(), "png"));
$("vector").addEventListener("click", async () => {
  try { save(await (await ask(`${session}/drawing.svg`)).blob(), "svg"); } catch (trouble) { tell(trouble.message, true); }
});
$("full").addEventListener("click", (event) => stage.full(event.target));
$("share").addEventListener("click", () => { $("link").value = new URL(watchPath, location.href).href; $("qr").src = `${session}/watch.svg`; $("copy").textContent = "Copy"; $("sharing").showModal(); $("link").select(); });
$("copy").addEventListener("click", async () => {
  try { await navigator.clipboard.writeText($("link").value); $("copy").textContent = "Copied"; } catch { $("link").select(); }
});
for (const input of document.querySelectorAll('[name="view"]')) input.addEventListener("change", () => choose(input.value));
for (const id of ["cameras", "microphones"]) $(id).addEventListener("change", reopen);
document.addEventListener("visibilitychange", () => send({ set: { hidden: document.hidden && !recorder.on } }));
window.addEventListener("pagehide", drop);
setInterval(figures, 1000);
listDevices(null).catch(() => {});
