// The page of one who watches: WHEP, made again by itself when it is lost.

import { ask, Keeper, measured, newPeer, offerOf, preferCodec, token, whenLost } from "./link.js";
import { Stage } from "./stage.js";
import { ServerTrouble } from "./words.js";

const $ = (id) => document.getElementById(id);
const stage = new Stage();
const stream = decodeURIComponent(location.pathname.split("/").pop());
let peer = null, session = null;
token();

function tell(text, trouble = false) {
  $("status").textContent = text;
  $("status").dataset.kind = trouble ? "trouble" : "";
}

function drop() {
  const old = peer;
  peer = null;
  if (old) old.close();
  if (session) ask(session, { method: "DELETE", keepalive: true }).catch(() => {});
  session = null;
}

async function connect(lost) {
  drop();
  const mine = (peer = await newPeer());
  const picture = new MediaStream();
  preferCodec(mine.addTransceiver("video", { direction: "recvonly" }));
  mine.addTransceiver("audio", { direction: "recvonly" });
  mine.addEventListener("track", (event) => { picture.addTrack(event.track); stage.show(stage.drawing, picture); });
  whenLost(mine, () => peer === mine && lost());
  const response = await ask(`/whep/${encodeURIComponent(stream)}`, { method: "POST", body: await offerOf(mine), headers: { "Content-Type": "application/sdp" } });
  session = response.headers.get("Location");
  await mine.setRemoteDescription({ type: "answer", sdp: await response.text() });
  await new Promise((resolve, reject) => {
    mine.addEventListener("connectionstatechange", () => mine.connectionState === "connected" && resolve());
    setTimeout(() => reject(new ServerTrouble(0)), 12_000);
  });
  tell("Live.");
}

$("sound").addEventListener("click", () => {
  stage.drawing.muted = !stage.drawing.muted;
  $("sound").setAttribute("aria-pressed", String(!stage.drawing.muted));
  $("sound").textContent = stage.drawing.muted ? "Sound on" : "Sound off";
});
$("full").addEventListener("click", (event) => stage.full(event.target));
window.addEventListener("pagehide", drop);
setInterval(async () => {
  if (!peer || peer.connectionState !== "connected") return;
  const { roundTrip, fps } = await measured(peer);
  $("figures").textContent = [fps === null ? null : `${Math.round(fps)} pictures a second`, roundTrip === null ? null : `network ${Math.round(roundTrip * 1000)} ms`].filter(Boolean).join("  ·  ");
}, 1000);
new Keeper(connect, tell).start();
