//! A headless browser, controlled by its DevTools protocol.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

/// Timeout for every wait. It only prevents a hang.
const LONGEST: Duration = Duration::from_secs(60);

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Returns the path of a Chromium, if there is one.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let places = std::env::split_paths(&path);
    let mut found = places.flat_map(|dir| NAMES.map(|name| dir.join(name)));
    found.find(|file| file.is_file())
}

/// A running browser. It ends when this is dropped.
pub(crate) struct Browser {
    child: Child,
    /// The browser's profile. It contains the file with the DevTools address.
    profile: TempDir,
}

impl Browser {
    /// Starts a browser if one is installed.
    pub(crate) fn start() -> Option<Browser> {
        let program = program()?;
        let profile = TempDir::new().unwrap();
        let child = Command::new(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--force-color-profile=srgb",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Browser { child, profile })
    }

    /// Returns the port and the path of the DevTools web socket.
    fn address(&self) -> (u16, String) {
        let file = self.profile.path().join("DevToolsActivePort");
        let begun = Instant::now();
        while begun.elapsed() < LONGEST {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if let Some((port, path)) = text.split_once('\n')
                && path.starts_with("/devtools/browser/")
            {
                return (port.parse().unwrap(), path.trim().to_owned());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the browser did not write its DevTools address");
    }

    /// Opens a tab with its own profile, separate from other tabs.
    pub(crate) fn tab(&self, url: &str) -> Tab {
        let (port, path) = self.address();
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(LONGEST)).unwrap();
        let address = format!("ws://127.0.0.1:{port}{path}");
        let (socket, _) = tungstenite::client(address, stream).unwrap();
        let mut tab = Tab {
            socket,
            session: None,
            context: Value::Null,
            calls: 0,
            complaints: Vec::new(),
        };
        let context = tab.call("Target.createBrowserContext", json!({}));
        tab.context = context["browserContextId"].clone();
        let target = json!({ "url": "about:blank", "browserContextId": tab.context });
        let target = tab.call("Target.createTarget", target);
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = tab.call("Target.attachToTarget", attach);
        tab.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.call(&format!("{domain}.enable"), json!({}));
        }
        tab.size(1280, 900);
        tab.call("Page.navigate", json!({ "url": url }));
        tab.until(&format!(
            "location.href === {} && document.readyState === 'complete'",
            json!(url)
        ));
        tab
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Tab {
    socket: WebSocket<TcpStream>,
    session: Option<String>,
    /// The browser context, which is a profile.
    context: Value,
    calls: u64,
    /// Warnings and errors of the browser's console.
    pub(crate) complaints: Vec<String>,
}

impl Tab {
    fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut call = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            call["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(call.to_string())).unwrap();
        loop {
            let message = self.socket.read().unwrap();
            let Message::Text(text) = message else {
                continue;
            };
            let said: Value = serde_json::from_str(&text).unwrap();
            if said["id"] == json!(id) {
                assert!(said.get("error").is_none(), "{method}: {said}");
                return said["result"].clone();
            }
            self.hear(&said);
        }
    }

    fn hear(&mut self, event: &Value) {
        let params = &event["params"];
        let complaint = match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => params["exceptionDetails"].to_string(),
            "Runtime.consoleAPICalled" => params["args"].to_string(),
            "Log.entryAdded" => params["entry"].to_string(),
            _ => return,
        };
        self.complaints.push(complaint);
    }

    /// Evaluates an expression in the page.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let params = json!({
            "expression": expression, "returnByValue": true, "awaitPromise": true,
        });
        let said = self.call("Runtime.evaluate", params);
        let thrown = said.get("exceptionDetails");
        assert!(thrown.is_none(), "{expression}: {thrown:?}");
        said["result"]["value"].clone()
    }

    pub(crate) fn text(&mut self, expression: &str) -> String {
        let value = self.eval(expression);
        let text = value.as_str();
        text.unwrap_or_else(|| panic!("{expression} is {value}"))
            .to_owned()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn until(&mut self, expression: &str) {
        let begun = Instant::now();
        while begun.elapsed() < LONGEST {
            if self.eval(&format!("Boolean({expression})")) == json!(true) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let page = self.text("document.body.innerText");
        let complaints = &self.complaints;
        panic!("timeout: {expression}\n{page}\n{complaints:?}");
    }

    /// Presses a key, with the events of a real key.
    pub(crate) fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            "Tab" => (9, ""),
            "End" => (35, ""),
            "Home" => (36, ""),
            "ArrowUp" => (38, ""),
            "ArrowDown" => (40, ""),
            "PageDown" => (34, ""),
            "/" => (191, "/"),
            " " => (32, " "),
            _ => panic!("unsupported key: {key}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut press =
                json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                press["text"] = json!(text);
            }
            self.call("Input.dispatchKeyEvent", press);
        }
    }

    /// Types text into the focused element.
    pub(crate) fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    pub(crate) fn size(&mut self, width: u32, height: u32) {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Connects the page to the network, or disconnects it.
    pub(crate) fn network(&mut self, is_connected: bool) {
        let conditions = json!({
            "offline": !is_connected, "latency": 0, "downloadThroughput": -1,
            "uploadThroughput": -1,
        });
        self.call("Network.emulateNetworkConditions", conditions);
    }

    /// Allows the page to use the clipboard.
    pub(crate) fn allow_clipboard(&mut self) {
        self.call("Page.bringToFront", json!({}));
        let session = self.session.take();
        let permissions = json!({
            "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"],
            "browserContextId": self.context,
        });
        self.call("Browser.grantPermissions", permissions);
        self.session = session;
    }

    /// Clicks on an element with the mouse.
    pub(crate) fn tap(&mut self, selector: &str) {
        let element = format!("document.querySelector({})", json!(selector));
        self.eval(&format!("{element}.scrollIntoView({{ block: 'center' }})"));
        let place = self.eval(&format!(
            "(({{ x, y, width, height }}) => [x + width / 2, y + height / 2])({element}.getBoundingClientRect())"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({
                "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1,
            });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Processor time of the page's main thread meanwhile, in percent of the time.
    pub(crate) fn busy(&mut self, meanwhile: impl FnOnce(&mut Tab)) -> f64 {
        let before = self.metrics();
        meanwhile(self);
        let after = self.metrics();
        (after.0 - before.0) / (after.1 - before.1) * 100.0
    }

    fn metrics(&mut self) -> (f64, f64) {
        self.call("Performance.enable", json!({}));
        let metrics = self.call("Performance.getMetrics", json!({}));
        let of = |name: &str| {
            let all = metrics["metrics"].as_array().unwrap();
            let found = all.iter().find(|one| one["name"] == name).unwrap();
            found["value"].as_f64().unwrap()
        };
        (of("ThreadTime"), of("Timestamp"))
    }

    pub(crate) fn colours(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        );
    }

    /// Saves a screenshot if `ACTIONS_PICTURES` names a directory.
    pub(crate) fn picture(&mut self, name: &str) {
        let Some(dir) = std::env::var_os("ACTIONS_PICTURES") else {
            return;
        };
        // The page renders with a delay.
        std::thread::sleep(Duration::from_millis(600));
        let taken = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let bytes = STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
        std::fs::write(PathBuf::from(dir).join(format!("{name}.png")), bytes).unwrap();
    }
}
