// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @notice An example, no part of the exchange: another application that takes payments in its credits. It sells articles
/// at fixed prices; who pays signs a permit and sends one transaction.
///
/// It knows the credits by their address and nothing else of the exchange. Its owner may give the money of a sale back, and
/// takes out only what may not be given back any more.
contract Kiosk {
    using SafeERC20 for IERC20;

    /// @param refundable Until this second the owner may give the price back.
    struct Sale {
        address buyer;
        uint40 refundable;
        bool refunded;
        uint256 price;
    }

    uint256 public constant REFUND_TIME = 14 days;

    IERC20 public immutable credits;
    address public immutable owner;

    mapping(bytes32 article => uint256) public priceOf;
    Sale[] public sales;
    /// @notice The first sale whose money the owner has not taken out yet.
    uint256 public untaken;

    event Sold(uint256 indexed sale, bytes32 indexed article, address indexed buyer, uint256 price);
    event Refunded(uint256 indexed sale);

    error Kiosk_NotOwner(address caller);
    error Kiosk_NotSold(bytes32 article);
    error Kiosk_PriceChanged(bytes32 article, uint256 price, uint256 expected);
    error Kiosk_NotRefundable(uint256 sale);

    modifier onlyOwner() {
        if (msg.sender != owner) revert Kiosk_NotOwner(msg.sender);
        _;
    }

    constructor(IERC20 credits_) {
        credits = credits_;
        owner = msg.sender;
    }

    /// @param price Microcredits; 0 takes the article off the list.
    function setPrice(bytes32 article, uint256 price) external onlyOwner {
        priceOf[article] = price;
    }

    /// @notice Buys with an allowance that was given before (`approve`).
    /// @param price What the buyer expects to pay, so that nobody changes it in between.
    function buy(bytes32 article, uint256 price) external returns (uint256 sale) {
        return _sell(article, msg.sender, price);
    }

    /// @notice Buys with a permit for the very price: one transaction, and no allowance stays behind.
    /// @dev It takes from its caller alone. A permit says who pays whom how much, not for what and not at whose wish: were
    /// it enough to bring one for somebody else, anyone could spend what others allowed. Whoever sees a permit on its way
    /// may bring it to the credits first; then it has done its work, and the allowance decides.
    function buyWithPermit(bytes32 article, uint256 price, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        returns (uint256 sale)
    {
        try IERC20Permit(address(credits)).permit(msg.sender, address(this), price, deadline, v, r, s) {}
            catch {
            // The transfer below fails unless the allowance is there.
        }
        return _sell(article, msg.sender, price);
    }

    function refund(uint256 sale) external onlyOwner {
        Sale storage s = sales[sale];
        if (s.refunded || block.timestamp >= s.refundable) revert Kiosk_NotRefundable(sale);
        s.refunded = true;
        emit Refunded(sale);

        credits.safeTransfer(s.buyer, s.price);
    }

    /// @notice Takes out the money of the next sales that cannot be refunded any more, at most so many of them.
    function takeOut(uint256 most) external onlyOwner returns (uint256 amount) {
        uint256 next = untaken;
        for (; most != 0 && next < sales.length && sales[next].refundable <= block.timestamp; ++next) {
            if (!sales[next].refunded) amount += sales[next].price;
            --most;
        }
        untaken = next;

        credits.safeTransfer(owner, amount);
    }

    function _sell(bytes32 article, address buyer, uint256 expected) private returns (uint256 sale) {
        uint256 price = priceOf[article];
        if (price == 0) revert Kiosk_NotSold(article);
        if (price != expected) revert Kiosk_PriceChanged(article, price, expected);

        sale = sales.length;
        sales.push(Sale(buyer, uint40(block.timestamp + REFUND_TIME), false, price));
        emit Sold(sale, article, buyer, price);

        credits.safeTransferFrom(buyer, address(this), price);
    }
}
