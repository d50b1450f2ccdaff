// The newsletter panel: shows another offer each time and keeps which one, for a week. Runs only inside the gated frame.
const offers = [
  "One letter a month: what to sow, what to cut, what to leave alone.",
  "In the next letter: a bed for bees in half a square metre.",
];
const kept = document.cookie.match(/(?:^|; )demo_offer=(\d)/);
const next = kept ? (Number(kept[1]) + 1) % offers.length : 0;
document.querySelector("[data-offer]").textContent = offers[next];
document.cookie = `demo_offer=${next}; Path=/; Max-Age=${7 * 86400}; SameSite=Lax`;
