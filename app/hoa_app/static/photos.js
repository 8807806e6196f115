// Photos before they leave the phone: made smaller, so that they travel in seconds, and held to what the portal takes,
// so that nothing typed is lost over a photo that is too large. Without this script the server checks the same.
"use strict";

const SIDE = 2560, PLAIN = ["image/jpeg", "image/png", "image/webp"];

async function smaller(file) {
  if (file.size < 1024 * 1024 && PLAIN.includes(file.type)) return file;
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(bitmap.width * scale);
    canvas.height = Math.round(bitmap.height * scale);
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.85));
    if (!blob || (blob.size >= file.size && PLAIN.includes(file.type))) return file;
    return new File([blob], file.name.replace(/\.[^.]*$/, "") + ".jpg", { type: "image/jpeg" });
  } catch {
    return file;  // not a picture, or one that this browser cannot read: the checks below say so
  }
}

function complaint(files, most) {
  const mb = (bytes) => (bytes / 1048576).toFixed(1).replace(".0", "");
  if (files.length > most.photos) return `Choose at most ${most.photos} photos; you chose ${files.length}.`;
  for (const file of files) {
    if (/heic|heif/.test(file.type) || /\.hei[cf]$/i.test(file.name)) return `${file.name} is a HEIC photo, which cannot be read here. Save it as JPEG and choose that.`;
    if (!PLAIN.includes(file.type)) return `${file.name} is not a JPEG, PNG or WebP photo.`;
    if (file.size > most.each) return `${file.name} has ${mb(file.size)} MB; at most ${mb(most.each)} MB fit. Choose a smaller version.`;
  }
  const all = files.reduce((sum, file) => sum + file.size, 0);
  return all > most.together ? `Together the photos have ${mb(all)} MB; at most ${mb(most.together)} MB can be sent at once. Choose fewer.` : "";
}

for (const input of document.querySelectorAll("input[type=file][data-photos]")) {
  const most = { photos: +input.dataset.photos, each: +input.dataset.each, together: +input.dataset.together };
  const form = input.form, button = form.querySelector("button:not([type=button])"), words = button.textContent;
  const told = document.createElement("p");
  told.id = `${input.id}-told`;
  told.setAttribute("role", "status");
  input.after(told);
  input.setAttribute("aria-describedby", `${input.getAttribute("aria-describedby") || ""} ${told.id}`.trim());
  let turn = 0, working = Promise.resolve();

  const tell = (text, bad) => {
    told.textContent = text;
    told.className = bad ? "error" : "hint";
    input.setCustomValidity(bad ? text : "");
    input.toggleAttribute("aria-invalid", false);
    if (bad) input.setAttribute("aria-invalid", "true");
  };

  const prepare = async () => {
    const mine = ++turn, chosen = [...input.files], ready = [];
    if (chosen.length > most.photos) return tell(complaint(chosen, most), true);
    tell(chosen.length ? "Getting the photos ready…" : "", false);
    for (const file of chosen) ready.push(await smaller(file));
    if (mine !== turn) return;  // others were chosen meanwhile
    const wrong = complaint(ready, most);
    if (wrong) return tell(wrong, true);
    const kept = new DataTransfer();
    ready.forEach((file) => kept.items.add(file));
    input.files = kept.files;
    tell(ready.length ? `${ready.length} photo${ready.length === 1 ? "" : "s"} ready.` : "", false);
  };

  input.addEventListener("change", () => { working = prepare(); });
  form.addEventListener("submit", async (event) => {
    if (form.dataset.sending) return event.preventDefault();
    form.dataset.sending = "yes";
    button.textContent = "Sending…";
    event.preventDefault();
    await working;
    if (form.reportValidity()) return form.submit();
    delete form.dataset.sending;
    button.textContent = words;
  });
  // Coming back by the browser's own button must not find the form still sending.
  addEventListener("pageshow", () => { delete form.dataset.sending; button.textContent = words; });
}
